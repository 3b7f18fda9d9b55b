//! Who is answered, and with which headers.

use super::Served;
#[tokio::test]
async fn other_names_are_refused() {
    let served = Served::start().await;
    for host in [
        "127.0.0.1",
        "localhost:8080",
        "LOCALHOST",
        "page.localhost",
        "[::1]:80",
        "[fd00::7]",
        "bake.example.com",
        "Bake.Example.com:8443",
    ] {
        assert_eq!(served.send(&format!("GET / HTTP/1.1\r\nHost: {host}")).await.code, 200, "{host}");
    }
    for host in [
        "evil.example",
        "example.com",
        "x.bake.example.com",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "notlocalhost",
        "127.0.0.1@evil.example",
        "[::1]evil",
        "[::1].evil.example",
        "[::1]:80:80",
        "localhost:",
        "localhost:80x",
        "localhost:+80",
        "localhost.",
        "127.1",
        "localhost/",
        "localhost evil.example",
        "localhost, evil.example",
    ] {
        let reply = served.send(&format!("GET / HTTP/1.1\r\nHost: {host}")).await;
        assert_eq!(reply.code, 421, "{host}");
        assert!(!reply.body.contains("golden"), "{}", reply.body);
    }
    let absolute = |host| format!("GET http://{host}/ HTTP/1.1\r\nHost: localhost");
    assert_eq!(served.send(&absolute("127.0.0.1:80")).await.code, 200);
    assert_eq!(served.send(&absolute("evil.example")).await.code, 421);
    for head in ["GET / HTTP/1.1", "GET / HTTP/1.0", "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example"] {
        assert_eq!(served.send(head).await.code, 421, "{head}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let served = Served::start().await;
    let foreign = served.send("GET / HTTP/1.1\r\nHost: evil.example").await;
    let replies = [served.get("/").await, served.get("/page.css").await, served.get("/nowhere").await, foreign];
    for reply in replies {
        for header in ["cache-control: no-store", "default-src 'none'", "x-content-type-options: nosniff"] {
            assert!(reply.head.contains(header), "{header} is missing in {}", reply.head);
        }
    }
    assert!(served.get("/page.css").await.head.contains("content-type: text/css"));
}

#[tokio::test]
async fn only_reading_is_possible() {
    let served = Served::start().await;
    let head = served.send("HEAD / HTTP/1.1\r\nHost: localhost").await;
    assert_eq!((head.code, head.body.as_str()), (200, ""));
    assert!(head.head.contains("content-type: text/html"), "{}", head.head);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let reply = served.send(&format!("{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0")).await;
        assert_eq!(reply.code, 405, "{method}");
    }
}

#[tokio::test]
async fn odd_requests_are_answered_as_plain_ones_or_refused() {
    let served = Served::start().await;
    for (line, headers, code) in [
        ("GET /livez", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA", 200),
        ("GET /livez", "Content-Length: 99999999999\r\nExpect: 100-continue", 200),
        ("GET /livez", "Transfer-Encoding: chunked", 200),
        ("GET /livez", "Content-Length: -1", 400),
        ("GET /livez", "X: a\r\n b", 400),
        ("GET /schedule/%ff%fe", "X: a", 400),
        ("GET /schedule/..%2f..%2fetc", "X: a", 404),
        ("GET //evil.example/", "X: a", 404),
        ("GET /%0d%0aSet-Cookie:x", "X: a", 404),
        ("GET /bake/99999999999999999999", "X: a", 404),
        ("TRACE /", "X: a", 405),
    ] {
        let reply = served.send(&format!("{line} HTTP/1.1\r\nHost: localhost\r\n{headers}")).await;
        assert_eq!(reply.code, code, "{line}, {headers}");
        assert!(!reply.head.to_lowercase().contains("set-cookie") && !reply.body.contains("//evil"), "{line}");
    }
}
