//! The servers start, keep what they were told, stop and die.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use sluicegate_test_servers::{Brand, Settings};

#[tokio::test]
async fn both_brands_keep_what_they_acknowledged_through_kill_and_stop() {
    for brand in Brand::ALL {
        let mut redis = Settings::durable(brand).with("requirepass", "secret").start().await.unwrap();
        assert_eq!(redis.command(&["SET", "a", "1"]).unwrap(), "+OK\r\n");
        redis.kill();
        assert!(redis.command(&["GET", "a"]).is_err(), "it is dead");
        let mut redis = redis.restart().await.unwrap();
        assert_eq!(redis.command(&["GET", "a"]).unwrap(), "$1\r\n1\r\n");
        redis.stop().await.unwrap();
        assert!(redis.command(&["GET", "a"]).is_err(), "it has stopped");
        let redis = redis.restart().await.unwrap();
        assert_eq!(redis.command(&["GET", "a"]).unwrap(), "$1\r\n1\r\n");
        let redis = redis.restart_empty().await.unwrap();
        assert_eq!(redis.command(&["GET", "a"]).unwrap(), "$-1\r\n");
    }
}
