mod clients;
mod ends;
mod lost;
mod races;
mod threads;
