//! Spawning on the worker itself.

use std::future::Future;

/// An executor for hyper that keeps every task on the present thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExec;

impl<F> hyper::rt::Executor<F> for LocalExec
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(async move { drop(future.await) }));
    }
}
