use super::*;
use async_trait::async_trait;
use futures::FutureExt;
use std::sync::Mutex;
use tokio::sync::oneshot;
use umbel_core::link::{ResolvedLink, Values};

/// A provider that answers every call with its name; `open` gives a resource, and `hang` waits to be let go.
struct Named {
    name: &'static str,
    hanging: Mutex<Vec<oneshot::Sender<()>>>,
}

#[derive(Clone)]
struct Fake(Arc<Named>);

struct Bucket(&'static str);

#[async_trait]
impl Provider for Fake {
    async fn put_link(&self, _: ResolvedLink) -> Result<(), Problem> {
        Ok(())
    }

    async fn del_link(&self, _: &LinkKey) -> Result<(), Problem> {
        Ok(())
    }

    async fn put_config(&self, _: Values) -> Result<(), Problem> {
        Ok(())
    }

    fn serve(&self) -> Option<Arc<dyn Serve>> {
        Some(Arc::new(self.clone()))
    }

    async fn stop(&self, _: Duration) {}
}

impl Serve for Fake {
    fn call(&self, mut call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let named = self.0.clone();
        async move {
            Ok(Some(match &*call.function {
                "open" => Value::ok(Value::Own(Resource::new(Bucket(named.name)))),
                "hang" => {
                    let (let_go, held) = oneshot::channel();
                    named.hanging.lock().expect("no test panics with it").push(let_go);
                    let _ = held.await;
                    Value::String(named.name.into())
                }
                "get" => match call.args.remove(0) {
                    // A resource of another would not be known here.
                    Value::Borrow(resource) => {
                        let bucket: Arc<Bucket> = resource.get().expect("a bucket without a mark");
                        Value::String(format!("{} of {}", bucket.0, named.name))
                    }
                    other => panic!("{other:?}"),
                },
                _ => Value::String(named.name.into()),
            }))
        }
        .boxed()
    }
}

fn named(name: &'static str) -> (Arc<Named>, Arc<dyn Provider>) {
    let named = Arc::new(Named { name, hanging: Mutex::default() });
    (named.clone(), Arc::new(Fake(named)))
}

fn way() -> Way {
    Way::new(ProviderId::new("kv").expect("an id"))
}

fn call(way: &Way, function: &str, args: Vec<Value>) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
    way.call(Call {
        link: Arc::default(),
        interface: "wasi:keyvalue/store".into(),
        version: None,
        function: function.into(),
        args,
        patience: None,
    })
}

async fn said(answer: BoxFuture<'static, Result<Option<Value>, Problem>>) -> String {
    match answer.await {
        Ok(Some(Value::String(text))) => text,
        Ok(other) => panic!("{other:?}"),
        Err(problem) => problem.code.to_string(),
    }
}

async fn open(way: &Way) -> Resource {
    match call(way, "open", Vec::new()).await {
        Ok(Some(Value::Result(Ok(Some(value))))) => match *value {
            Value::Own(resource) => resource,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn calls_go_to_whoever_serves_at_their_moment() {
    let way = way();
    assert!(matches!(way.find(), Ok(Found::Nobody)));
    assert_eq!(said(call(&way, "who", Vec::new())).await, "UM0566");
    let (old, provider) = named("old");
    assert!(way.lead_to(provider, &Body::Code).is_none());
    assert_eq!(said(call(&way, "who", Vec::new())).await, "old");
    let mut hanging = call(&way, "hang", Vec::new());
    assert!(futures::poll!(&mut hanging).is_pending());
    let before = way.lead_to(named("new").1, &Body::Code).expect("one served");
    assert_eq!(said(call(&way, "who", Vec::new())).await, "new");
    assert!(!before.idle(Duration::from_millis(5), Duration::ZERO).await, "a call is under way");
    let held = old.hanging.lock().expect("no test panics with it").pop().expect("it hangs");
    held.send(()).expect("it waits");
    assert_eq!(said(hanging).await, "old");
    assert!(before.idle(Duration::from_millis(5), Duration::ZERO).await);
    way.stop();
    assert_eq!(said(call(&way, "who", Vec::new())).await, "UM0830");
    assert_eq!(way.find().err().expect("stopped").code, code::PROVIDER_STOPPED);
}

#[tokio::test(start_paused = true)]
async fn a_handle_leads_to_whoever_made_it_until_that_has_ended() {
    let way = way();
    way.lead_to(named("old").1, &Body::Code);
    let bucket = open(&way).await;
    let get = |bucket: &Resource| call(&way, "get", vec![Value::Borrow(bucket.clone())]);
    let before = way.lead_to(named("new").1, &Body::Code).expect("one served");
    assert_eq!(said(get(&bucket)).await, "old of old");
    assert_eq!(said(get(&open(&way).await)).await, "new of new");
    let both = vec![Value::Borrow(bucket.clone()), Value::Tuple(vec![Value::Borrow(open(&way).await)])];
    assert_eq!(said(call(&way, "get", both)).await, "UM0833");
    // Only the handle is left, which is not waited for as long as a call.
    assert!(!before.idle(Duration::from_secs(9), Duration::from_millis(20)).await);
    before.end();
    assert_eq!(said(get(&bucket)).await, "UM0833");
    drop(bucket);
    assert!(before.idle(Duration::ZERO, Duration::ZERO).await);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_while_nobody_serves_for_a_moment_and_not_for_ever() {
    let way = way();
    way.lead_to(named("old").1, &Body::Code);
    let bucket = open(&way).await;
    way.hold().expect("one served");
    assert!(matches!(way.find(), Ok(Found::Moves)));
    let mut waiting = call(&way, "who", Vec::new());
    assert!(futures::poll!(&mut waiting).is_pending());
    // What was begun goes on.
    assert_eq!(said(call(&way, "get", vec![Value::Borrow(bucket)])).await, "old of old");
    way.lead_to(named("new").1, &Body::Code);
    assert_eq!(said(waiting).await, "new");
    way.hold();
    assert_eq!(said(call(&way, "who", Vec::new())).await, "UM0831");
    let mut waiting = call(&way, "who", Vec::new());
    assert!(futures::poll!(&mut waiting).is_pending());
    way.close();
    assert_eq!(said(waiting).await, "UM0566");
}

#[tokio::test]
async fn a_stream_holds_whoever_gives_it() {
    let way = way();
    way.lead_to(named("old").1, &Body::Code);
    let hold = way.take().expect("it serves");
    let serving = hold.serving.clone();
    let mut value = Value::ok(Value::Stream(Input::new(futures::stream::pending().boxed())));
    each(&mut value, &mut |value| claim(value, &hold));
    drop(hold);
    way.lead_to(named("new").1, &Body::Code);
    assert!(!serving.idle(Duration::from_millis(3), Duration::ZERO).await);
    drop(value);
    assert!(serving.idle(Duration::ZERO, Duration::ZERO).await);
}

#[tokio::test(start_paused = true)]
async fn who_is_found_is_kept_until_the_call_is_over() {
    let way = way();
    way.lead_to(named("old").1, &Body::Code);
    // Nothing of it is asked yet: a call that was found is on its way to it.
    let hold = way.take().expect("it serves");
    let before = way.hold().expect("one served");
    assert!(!before.idle(Duration::from_secs(1), Duration::ZERO).await);
    let idle = before.idle(Duration::from_secs(1_000), Duration::ZERO);
    let begun = Instant::now();
    let ((), is_idle) = tokio::join!(async { drop(hold) }, idle);
    assert_eq!((is_idle, begun.elapsed()), (true, Duration::ZERO), "it is woken");
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_response_holds_whoever_gives_it_until_it_has_ended() {
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};
    let (frames, given) = futures::channel::mpsc::unbounded::<Result<Frame<bytes::Bytes>, _>>();
    let way = way();
    way.lead_to(named("old").1, &Body::Code);
    let hold = way.take().expect("it serves");
    let mut response = Held::body(Response::new(StreamBody::new(given).boxed_unsync()), hold);
    let before = way.lead_to(named("new").1, &Body::Code).expect("one served");
    frames.unbounded_send(Ok(Frame::data("some".into()))).expect("it is read");
    assert!(response.body_mut().frame().await.is_some());
    assert!(!before.idle(Duration::from_secs(5), Duration::ZERO).await, "more may come");
    drop(frames);
    assert!(response.body_mut().frame().await.is_none());
    assert!(before.idle(Duration::ZERO, Duration::ZERO).await, "though the body is kept");
}
