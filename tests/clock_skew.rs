//! A host whose clock is wrong, as the cloud's Date header tells it.

use std::sync::Arc;

use chrono::TimeDelta;
use imagebaked::{
    clock::{Clock, ManualClock, SystemClock},
    cloud::{CloudClient, CloudOptions, Surroundings, actions::ListImage, random_nonces},
    sim::{Options, Simulator},
};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_clock_that_is_off_is_noticed_and_forgotten_when_it_is_right() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sim = Simulator::start(listener, Options::default(), Arc::new(SystemClock)).unwrap();
    let key = |name: &str| match name {
        "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some("sim-key-id".to_owned()),
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some("sim-key-secret".to_owned()),
        _ => None,
    };
    let options = CloudOptions {
        endpoint: Some(format!("http://{}", sim.addr())),
        requests_per_second: 100.0,
        ..CloudOptions::default()
    };
    let clock = ManualClock::at(SystemClock.now());
    let client = CloudClient::new(&options, Surroundings::read(key), Arc::new(clock.clone()), random_nonces()).unwrap();
    let skew = async || {
        let answer = client.list_images(&ListImage::default()).await;
        (answer.err().and_then(|refusal| refusal.code), client.clock_skew().map(|skew| skew.num_minutes()))
    };
    assert_eq!(skew().await, (None, None));
    clock.advance(-TimeDelta::minutes(5) - TimeDelta::seconds(5));
    assert_eq!(skew().await, (None, Some(5)), "a warning, and the call goes through");
    clock.advance(-TimeDelta::minutes(15));
    assert_eq!(skew().await, (Some("InvalidTimeStamp.Expired".to_owned()), Some(20)), "known from the refusal, too");
    clock.set(SystemClock.now());
    assert_eq!(skew().await, (None, None));
    sim.stop().await;
}
