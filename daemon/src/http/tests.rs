use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

#[tokio::test]
async fn every_page_answers() {
    let addr = start(sources(Some(Instant::now()))).await;
    let cases = [
        ("/metrics", "200", "up 1"),
        ("/metrics", "200", "content-type: text/plain; version=0.0.4"),
        ("/healthz", "200", "ok"),
        ("/readyz", "200", "ok"),
        ("/status", "200", "{}"),
        ("/status", "200", "content-type: application/json"),
        ("/broken", "500", "no numbers today"),
        ("/metric", "404", "no /metric here; there are /metrics"),
    ];
    for (path, code, part) in cases {
        let answer = get(addr, path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{path}");
        assert!(answer.contains(part), "{path}: {answer}");
    }
}

#[tokio::test]
async fn the_loop_decides_health_and_readiness() {
    let now = Instant::now();
    let old = now.checked_sub(STUCK_AFTER * 2).unwrap();
    let cases = [
        (now, None, "200", "503"),
        (old, None, "503", "503"),
        (old, Some(now), "200", "200"),
        (old, Some(old), "503", "200"),
    ];
    for (started, last_pass, healthy, ready) in cases {
        let from = sources(last_pass);
        let addr = start(Sources { started, ..from }).await;
        for (path, code) in [("/healthz", healthy), ("/readyz", ready)] {
            let answer = get(addr, path).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_failed_pass_is_alive_and_not_ready() {
    let failure = || Some("NotSupported: /x is no BPF file system".to_owned());
    let addr = start(Sources {
        failure: Arc::new(failure),
        ..sources(Some(Instant::now()))
    })
    .await;
    assert!(get(addr, "/healthz").await.starts_with("HTTP/1.1 200"));
    let answer = get(addr, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let words = "\r\n\r\nNotSupported: /x is no BPF file system\n";
    assert!(answer.ends_with(words), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_made_one_by_one() {
    let (inside, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let text = move || {
        seen.fetch_max(inside.fetch_add(1, Relaxed) + 1, Relaxed);
        let until = Instant::now() + Duration::from_millis(5);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        inside.fetch_sub(1, Relaxed);
        Ok(String::new())
    };
    let addr = start(Sources {
        pages: vec![page("/status", "application/json", text)],
        ..sources(None)
    })
    .await;
    let asked: Vec<_> = (0..8).map(|_| tokio::spawn(get(addr, "/status"))).collect();
    for one in asked {
        assert!(one.await.unwrap().starts_with("HTTP/1.1 200"));
    }
    assert_eq!(most.load(Relaxed), 1);
}

#[tokio::test]
async fn those_who_say_nothing_are_sent_away_and_others_get_their_turn() {
    let addr = start(sources(Some(Instant::now()))).await;
    let mut silent = Vec::new();
    for _ in 0..connections::AT_ONCE {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"GET /metrics HT").await.unwrap();
        silent.push(stream);
    }
    let began = Instant::now();
    let answer = timeout(connections::HEADER_WITHIN * 3, get(addr, "/healthz")).await;
    assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
    let waited = began.elapsed();
    assert!(waited >= connections::HEADER_WITHIN / 2, "{waited:?}");
    for mut stream in silent {
        let mut answer = Vec::new();
        let end = timeout(
            connections::HEADER_WITHIN * 3,
            stream.read_to_end(&mut answer),
        );
        assert!(end.await.is_ok());
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_a_problem_until_it_is_free() {
    let taken = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let addr = taken.local_addr().unwrap();
    let (problem, mut seen) = watch::channel(None);
    let tell = move |text| {
        problem.send_replace(text);
    };
    let serving = tokio::spawn(serve(addr, sources(None), tell));
    let deadline = RETRY_AFTER * 3;
    let said = timeout(deadline, seen.wait_for(Option::is_some)).await;
    let said = said.unwrap().unwrap().clone().unwrap();
    assert!(
        said.starts_with(&format!("listen on {addr} for http: ")),
        "{said}"
    );
    drop(taken);
    let free = timeout(deadline, seen.wait_for(Option::is_none)).await;
    assert!(free.unwrap().is_ok());
    assert!(get(addr, "/healthz").await.starts_with("HTTP/1.1 200"));
    serving.abort();
}

fn sources(last_pass: Option<Instant>) -> Sources {
    let metrics = || Ok("up 1".to_owned());
    Sources {
        pages: vec![
            page("/metrics", "text/plain; version=0.0.4", metrics),
            page("/status", "application/json", || Ok("{}".to_owned())),
            page("/broken", "text/plain", || {
                Err("no numbers today".to_owned())
            }),
        ],
        last_pass: Arc::new(move || last_pass),
        failure: Arc::new(|| None),
        started: Instant::now(),
    }
}

fn page(
    path: &'static str,
    media_type: &'static str,
    text: impl Fn() -> Result<String, String> + Send + Sync + 'static,
) -> Page {
    let text = Arc::new(text);
    Page {
        path,
        media_type,
        text,
    }
}

async fn start(sources: Sources) -> SocketAddr {
    let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { connections::serve(&listener, &router(sources)).await });
    addr
}

async fn get(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
