use super::*;

/// A server that sends back what it gets.
async fn echo() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    (address, tasks)
}

async fn says(stream: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
    stream.write_all(&[byte]).await?;
    stream.read_u8().await
}

#[tokio::test]
async fn a_proxy_carries_cuts_refuses_and_heals() {
    let (address, _server) = echo().await;
    let proxy = Proxy::start(address).await.expect("a proxy");
    let mut stream = TcpStream::connect(proxy.address()).await.expect("a connection");
    assert_eq!(says(&mut stream, 1).await.expect("an echo"), 1);
    proxy.part();
    assert!(says(&mut stream, 2).await.is_err(), "it is cut");
    let mut refused = TcpStream::connect(proxy.address()).await.expect("accepted, and closed");
    assert!(says(&mut refused, 3).await.is_err());
    proxy.heal();
    let mut stream = TcpStream::connect(proxy.address()).await.expect("a connection");
    assert_eq!(says(&mut stream, 4).await.expect("an echo"), 4);
}

#[tokio::test]
async fn a_hole_swallows_one_way_and_nobody_is_told() {
    let (address, _server) = echo().await;
    let proxy = Proxy::start(address).await.expect("a proxy");
    let mut stream = TcpStream::connect(proxy.address()).await.expect("a connection");
    assert_eq!(says(&mut stream, 1).await.expect("an echo"), 1);
    proxy.set(|faults| faults.down = Way::Hole);
    let short = Duration::from_millis(50);
    assert!(tokio::time::timeout(short, says(&mut stream, 2)).await.is_err(), "it came back");
    proxy.set(|faults| faults.down = Way::Slow(short));
    let asked = tokio::time::Instant::now();
    assert_eq!(says(&mut stream, 3).await.expect("an echo"), 3, "what was swallowed is gone");
    assert!(asked.elapsed() >= short);
}

#[tokio::test]
async fn what_is_frozen_goes_on_where_it_stopped() {
    let (address, _server) = echo().await;
    let proxy = Proxy::start(address).await.expect("a proxy");
    let mut stream = TcpStream::connect(proxy.address()).await.expect("a connection");
    assert_eq!(says(&mut stream, 1).await.expect("an echo"), 1);
    for up in [true, false] {
        proxy.set(|faults| if up { faults.up = Way::Frozen } else { faults.down = Way::Frozen });
        stream.write_all(&[2, 3]).await.expect("the kernel takes it");
        let short = tokio::time::timeout(Duration::from_millis(50), stream.read_u8());
        assert!(short.await.is_err(), "it came back");
        proxy.heal();
        let back = [stream.read_u8().await.expect("the first"), stream.read_u8().await.expect("the second")];
        assert_eq!(back, [2, 3], "nothing is lost");
    }
}

#[tokio::test]
async fn what_is_throttled_comes_whole_and_takes_its_time() {
    let (address, _server) = echo().await;
    let proxy = Proxy::start(address).await.expect("a proxy");
    let mut stream = TcpStream::connect(proxy.address()).await.expect("a connection");
    proxy.set(|faults| faults.down = Way::Throttled(20_000));
    let (sent, asked) = (vec![7; 4_000], tokio::time::Instant::now());
    stream.write_all(&sent).await.expect("the kernel takes it");
    let mut back = vec![0; sent.len()];
    stream.read_exact(&mut back).await.expect("all of it");
    assert_eq!(back, sent);
    assert!(asked.elapsed() >= THROTTLE_STEP * 4, "4,000 bytes at 1,000 a step");
}
