use std::{io::ErrorKind, net::SocketAddr, time::Duration};
use testkit::{Fault, FaultProxy, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

/// Sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

async fn says(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn without_a_fault_it_is_a_wire() {
    let proxy = FaultProxy::start(echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(says(&mut stream, "hello").await, "hello");
    assert_eq!((proxy.accepted(), proxy.open(), proxy.bytes_to_clients()), (1, 1, 5));
    drop(stream);
    eventually("the connection to be gone", async || (proxy.open() == 0).then_some(())).await;
}

#[tokio::test]
async fn a_cut_ends_the_stream_after_so_many_bytes() {
    let proxy = FaultProxy::start(echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(says(&mut stream, "before").await, "before");
    proxy.set(Fault::CutAfter(3)).await;
    stream.write_all(b"afterwards").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"aft");
}

#[tokio::test]
async fn a_reset_is_seen_as_one() {
    let proxy = FaultProxy::start(echo().await).await;
    proxy.set(Fault::ResetAfter(0)).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let error = stream.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn refusing_resets_what_is_open_and_can_be_taken_back() {
    let proxy = FaultProxy::start(echo().await).await;
    let mut open = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(says(&mut open, "hello").await, "hello");
    proxy.set(Fault::Refuse).await;
    assert_eq!(open.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(TcpStream::connect(proxy.address()).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    proxy.set(Fault::Pass).await;
    let mut again = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(says(&mut again, "hello").await, "hello");
}

#[tokio::test]
async fn a_stall_holds_data_back_until_it_is_lifted() {
    let proxy = FaultProxy::start(echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(says(&mut stream, "hello").await, "hello");
    proxy.set(Fault::Stall).await;
    stream.write_all(b"later").await.unwrap();
    let mut answer = [0; 5];
    assert!(timeout(Duration::from_millis(50), stream.read_exact(&mut answer)).await.is_err());
    proxy.set(Fault::Pass).await;
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"later");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stall_held_back_does_not_slip_through_when_the_line_is_refused() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(server.local_addr().unwrap()).await;
    // Often enough to meet the moment between the word to refuse and the end of the connections.
    for _ in 0..200 {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut at_server, _) = server.accept().await.unwrap();
        proxy.set(Fault::Stall).await;
        stream.write_all(b"late").await.unwrap();
        proxy.set(Fault::Refuse).await;
        let arrived = at_server.read(&mut [0; 8]).await;
        assert!(matches!(arrived, Ok(0) | Err(_)), "{arrived:?}");
        proxy.set(Fault::Pass).await;
    }
}

#[tokio::test]
async fn delay_and_throttle_take_their_time() {
    let proxy = FaultProxy::start(echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(20))).await;
    let start = Instant::now();
    says(&mut stream, "hello").await;
    assert!(start.elapsed() >= Duration::from_millis(40), "there and back");
    proxy.set(Fault::Throttle { bytes_per_second: 1000 }).await;
    let start = Instant::now();
    says(&mut stream, &"x".repeat(100)).await;
    assert!(start.elapsed() >= Duration::from_millis(100));
}
