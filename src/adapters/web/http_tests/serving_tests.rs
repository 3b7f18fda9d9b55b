//! Begin and end of serving.

use std::{sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{super::StatusPage, Served};
use crate::adapters::web::source::Source;
#[tokio::test]
async fn it_stops_although_a_visitor_lingers() {
    let served = Served::start().await;
    let mut lingering = TcpStream::connect(served.address).await.unwrap();
    lingering.write_all(b"GET / HTTP/1.1\r\nHost: lo").await.unwrap();
    assert_eq!(served.get("/healthz").await.code, 200);
    served.stop.cancel();
    tokio::time::timeout(Duration::from_secs(9), served.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_page_that_is_off_waits_for_the_end() {
    let served = Served::start().await;
    let page = StatusPage::bind(None, Vec::new()).await.unwrap();
    assert_eq!(page.address(), None);
    served.stop.cancel();
    page.serve(Arc::clone(&served.fake) as Arc<dyn Source>, served.stop.clone()).await;
}

#[tokio::test]
async fn an_address_in_use_is_reported() {
    let served = Served::start().await;
    let error = StatusPage::bind(Some(served.address), Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains(&served.address.to_string()), "{error}");
}
