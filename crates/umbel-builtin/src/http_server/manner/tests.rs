use super::*;

/// Answers everything with the method that it was asked with; GET of `/slow` never.
struct Echo;

impl Handler for Echo {
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Response, Problem>> {
        async move {
            if request.uri().path() == "/slow" {
                return std::future::pending().await;
            }
            let mut response = empty(StatusCode::OK);
            let method = HeaderValue::from_str(request.method().as_str()).unwrap();
            response.headers_mut().insert("x-method", method);
            Ok(response)
        }
        .boxed()
    }
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn read(pairs: &[(&str, &str)]) -> Arc<dyn Handler> {
    Manner::read(&values(&[]), &values(pairs)).unwrap().unwrap().around(Arc::new(Echo))
}

async fn ask(
    handler: &Arc<dyn Handler>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Response, Problem> {
    let mut request = Request::new(Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync());
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = path.parse().unwrap();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    handler.call(request).await
}

fn said<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn caching_reading_only_and_time_are_the_links() {
    let handler = read(&[("cache_control", "max-age=60"), ("readonly_mode", "true"), ("timeout_ms", "1")]);
    let answer = ask(&handler, "GET", "/", &[]).await.unwrap();
    assert_eq!(
        (said(&answer, "x-method"), said(&answer, "cache-control")),
        (Some("GET"), Some("max-age=60"))
    );
    assert_eq!(ask(&handler, "POST", "/", &[]).await.unwrap_err().code, call::HTTP_METHOD_REFUSED);
    assert_eq!(ask(&handler, "GET", "/slow", &[]).await.unwrap_err().code, guest::CALL_TIMEOUT);
}

#[tokio::test]
async fn pages_of_the_origins_that_are_listed_are_let_in() {
    let handler = read(&[
        ("cors_allowed_origins", r#"["https://one.example", "https://two.example"]"#),
        ("cors_allowed_methods", r#"["GET","PATCH"]"#),
        ("cors_max_age_secs", "7"),
    ]);
    let asks = [("origin", "https://two.example"), ("access-control-request-method", "PATCH")];
    let answer = ask(&handler, "OPTIONS", "/", &asks).await.unwrap();
    assert_eq!(said(&answer, "x-method"), None, "the component is not asked");
    assert_eq!(said(&answer, "access-control-allow-origin"), Some("https://two.example"));
    assert_eq!(said(&answer, "access-control-allow-methods"), Some("GET,PATCH"));
    assert_eq!(said(&answer, "access-control-allow-headers"), Some(HEADERS));
    assert_eq!(said(&answer, "access-control-max-age"), Some("7"));

    let answer = ask(&handler, "GET", "/", &[("origin", "https://one.example")]).await.unwrap();
    assert_eq!(said(&answer, "access-control-allow-origin"), Some("https://one.example"));
    let stranger = ask(&handler, "GET", "/", &[("origin", "https://three.example")]).await.unwrap();
    assert_eq!(
        (said(&stranger, "x-method"), said(&stranger, "access-control-allow-origin")),
        (Some("GET"), None)
    );
    // An OPTIONS that is no preflight is the component's.
    let options = ask(&handler, "OPTIONS", "/", &[("origin", "https://one.example")]).await.unwrap();
    assert_eq!(said(&options, "x-method"), Some("OPTIONS"));
    let any = read(&[("cors_allowed_origins", "[]")]);
    let answer = ask(&any, "GET", "/", &[]).await.unwrap();
    assert_eq!(said(&answer, "access-control-allow-origin"), Some("*"));
}

#[test]
fn what_is_wrong_is_told_with_its_key() {
    for (key, value) in [
        ("cache_control", "a\nb"),
        ("readonly_mode", "maybe"),
        ("timeout_ms", "soon"),
        ("cors_allowed_origins", r#"["a""#),
        ("cors_allowed_methods", r#"["GE T"]"#),
        ("cors_allowed_headers", r#"["a:b"]"#),
        ("cors_max_age_secs", "-1"),
    ] {
        let error = Manner::read(&values(&[]), &values(&[(key, value)])).unwrap_err();
        assert!(matches!(&error, ServerError::LinkConfig { key: told, .. } if told == key), "{error}");
    }
    assert_eq!(Manner::read(&values(&[("address", "0.0.0.0:1")]), &values(&[])).unwrap(), None);
    let provider = Manner::read(&values(&[("timeout_ms", "1")]), &values(&[("timeout_ms", "2")])).unwrap();
    assert_eq!(provider.unwrap().timeout, Some(Duration::from_millis(2)), "the link's goes before");
}
