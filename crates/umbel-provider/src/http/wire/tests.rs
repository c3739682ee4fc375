use super::*;
use futures::future::join;
use http_body_util::Full;
use std::time::Duration;
use umbel_core::id::LatticeName;
use umbel_lattice::wrpc::{ClientLimits, Lent, Server, ServerLimits, ServerSpec};
use umbel_lattice::{InProcess, Lattice, Spawn};

fn spawn() -> Spawn {
    // Tests end with their runtime.
    Arc::new(|task| drop(tokio::runtime::Handle::current().spawn(task)))
}

async fn lattice() -> Arc<dyn Lattice> {
    let folder = tempfile::tempdir().unwrap();
    let name = LatticeName::new("default").unwrap();
    Arc::new(InProcess::open(folder.keep().join("lattice.redb"), name).await.unwrap())
}

async fn serving(lattice: &Arc<dyn Lattice>, id: &str, serve: Arc<dyn Serve>) -> Server {
    let catalog = Arc::new(Catalog::new(interfaces().iter().cloned()));
    let spec = ServerSpec {
        id: id.into(),
        catalog: Arc::new(move || catalog.clone()),
        serve,
        links: Arc::new(|caller| {
            Ok(Arc::new(umbel_wit::Link {
                source_id: caller.source.into(),
                name: caller.link.into(),
                ..Default::default()
            }))
        }),
        lent: Lent::new(),
        group: None,
        is_quick: false,
        limits: ServerLimits::default(),
    };
    Server::start(lattice.clone(), spawn(), spec).await.unwrap()
}

async fn client(lattice: &Arc<dyn Lattice>) -> Client {
    Client::new(lattice.clone(), spawn(), Lent::new(), ClientLimits::default()).await.unwrap()
}

fn called(target: &str) -> Called {
    let patience = Some(Duration::from_secs(20));
    Called {
        target: target.into(),
        source: "http".into(),
        link: "default".into(),
        application: None,
        patience,
    }
}

fn body(text: &'static str) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

fn with_trailers(text: &'static str, name: &'static str, value: &'static str) -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, HeaderValue::from_static(value));
    let frames = [Ok(Frame::data(Bytes::from(text))), Ok(Frame::trailers(trailers))];
    StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

/// Answers with what it was asked.
struct Echo;

impl Handler for Echo {
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Response, Problem>> {
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(|error| broken(&error.to_string()))?;
            let trailer = body.trailers().and_then(|trailers| trailers.get("sum")).cloned();
            let mut response = Response::new(with_trailers("echoed", "seen", "yes"));
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            let said =
                format!("{} {} {}", parts.method, parts.uri, String::from_utf8_lossy(&body.to_bytes()));
            response.headers_mut().insert("said", said.parse().unwrap());
            for value in parts.headers.get_all("many") {
                response.headers_mut().append("many", value.clone());
            }
            response.headers_mut().insert("sum", trailer.unwrap_or(HeaderValue::from_static("none")));
            Ok(response)
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_request_and_its_answer_arrive_as_they_were_sent() {
    let lattice = lattice().await;
    let _server = serving(&lattice, "hello", Arc::new(Answers(Arc::new(Echo)))).await;
    let client = client(&lattice).await;
    let mut request = Request::new(with_trailers("some body data", "sum", "14"));
    *request.method_mut() = Method::from_bytes(b"BREW").unwrap();
    *request.uri_mut() = "https://pot.example/p?q=1".parse().unwrap();
    for value in ["one", "two"] {
        request.headers_mut().append("many", HeaderValue::from_static(value));
    }
    let response = handle(&client, &called("hello"), request).await.unwrap();
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(response.headers()["said"], "BREW https://pot.example/p?q=1 some body data");
    assert_eq!(response.headers().get_all("many").iter().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(response.headers()["sum"], "14");
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["seen"], "yes");
    assert_eq!(body.to_bytes(), "echoed");
}

#[tokio::test]
async fn a_long_body_streams_both_ways_and_a_broken_one_is_told() {
    struct Mirror;
    impl Handler for Mirror {
        fn call(&self, request: Request) -> BoxFuture<'static, Result<Response, Problem>> {
            futures::future::ready(Ok(Response::new(request.into_body()))).boxed()
        }
    }
    let lattice = lattice().await;
    let _server = serving(&lattice, "mirror", Arc::new(Answers(Arc::new(Mirror)))).await;
    let client = client(&lattice).await;
    let (sender, receiver) = futures::channel::mpsc::channel::<Result<Frame<Bytes>, BodyError>>(0);
    let request = Request::new(StreamBody::new(receiver).boxed_unsync());
    // 8 MiB, which no window holds: it arrives because what was sent is read meanwhile.
    let writing = async move {
        let mut sender = sender;
        for _ in 0..128 {
            let piece = Bytes::from(vec![7; 64 << 10]);
            futures::SinkExt::send(&mut sender, Ok(Frame::data(piece))).await.unwrap();
        }
        futures::SinkExt::send(&mut sender, Err("the reader is gone".into())).await.unwrap();
    };
    let to = called("mirror");
    let reading = async {
        let mut body = handle(&client, &to, request).await.unwrap().into_body();
        let mut read = 0;
        loop {
            match body.frame().await {
                Some(Ok(frame)) => read += frame.into_data().unwrap().len(),
                end => return (read, end),
            }
        }
    };
    let ((), (read, end)) = join(writing, reading).await;
    assert_eq!(read, 8 << 20);
    assert!(end.unwrap().unwrap_err().to_string().contains("ended early"));
}

/// Sends nowhere: it says what it was given, or why it does not.
struct Away;

impl super::super::Outgoing for Away {
    fn send(
        &self,
        link: &LinkKey,
        request: Request,
        options: OutgoingOptions,
    ) -> BoxFuture<'static, Result<Response, Problem>> {
        let said = format!("{} {} {:?}", link.source_id, request.uri(), options.first_byte_timeout);
        let answer = match request.uri().path() {
            "/late" => Err(Problem::new(guest::CALL_TIMEOUT, "too late")),
            "/other" => Err(Problem::new(guest::SERVER_FAILED, "it fell over")),
            _ => {
                let mut response = Response::new(body(""));
                response.headers_mut().insert("said", said.parse().unwrap());
                Ok(response)
            }
        };
        futures::future::ready(answer).boxed()
    }
}

#[tokio::test]
async fn a_request_that_leaves_takes_its_times_along_and_brings_errors_back() {
    let lattice = lattice().await;
    let _server = serving(&lattice, "http-client", Arc::new(Sends(Arc::new(Away)))).await;
    let client = client(&lattice).await;
    let options =
        OutgoingOptions { first_byte_timeout: Some(Duration::from_millis(1_500)), ..Default::default() };
    let ask = async |path: &str| {
        let mut request = Request::new(body(""));
        *request.uri_mut() = format!("http://there.example{path}").parse().unwrap();
        send(&client, &called("http-client"), request, options).await
    };
    assert_eq!(ask("/").await.unwrap().headers()["said"], "http http://there.example/ Some(1.5s)");
    assert_eq!(ask("/late").await.unwrap_err().code, guest::CALL_TIMEOUT);
    let other = ask("/other").await.unwrap_err();
    assert_eq!(other.code, guest::SERVER_FAILED);
    assert!(other.causes.iter().any(|cause| cause.contains("it fell over")), "{other:?}");
}

#[tokio::test]
async fn nobody_there_and_rubbish_are_errors() {
    let lattice = lattice().await;
    let client = client(&lattice).await;
    let nobody = handle(&client, &called("hello"), Request::new(body(""))).await.unwrap_err();
    assert_eq!(nobody.code, umbel_core::code::lattice::NO_RESPONDERS);
    for value in [
        Value::U8(1),
        Value::Record(vec![]),
        Value::Record(vec![Value::U8(0), Value::U8(0), Value::U16(1_000), Value::List(vec![])]),
        Value::Record(vec![
            Value::Stream(Input::new(futures::stream::empty().boxed())),
            Value::Later(Later::new(async { Ok(Value::none()) })),
            Value::U16(99),
            Value::List(vec![]),
        ]),
    ] {
        assert_eq!(to_response(value).unwrap_err().code, wire::WIRE_BROKEN);
    }
    let odd = Value::Tuple(vec!["a b".into(), Value::List(vec![])]);
    assert_eq!(to_fields(Value::List(vec![odd])).unwrap_err().code, wire::WIRE_BROKEN);
}
