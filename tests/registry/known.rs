//! Who asks: Basic, tokens, and where credentials are found.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use mkimg::share::{Destination as _, Origin as _};

use crate::bed::{Bed, Fake, assert_told, layer_of, manifest, named, noise, of_manifest};
use crate::server::{Reply, Request, Server};

const BASIC: &str = "Basic dTpnZWhlaW0=";

fn says(request: &Request, value: &str) -> bool {
    request
        .headers
        .get("authorization")
        .is_some_and(|found| found == value)
}

fn basic() -> Reply {
    Reply::new(
        "401 Unauthorized",
        br#"{"errors":[{"message":"authentication required"}]}"#,
    )
    .header("WWW-Authenticate", "Basic realm=\"the registry\"")
}

fn auths(server: &Server, auth: &str) -> String {
    format!(
        r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#,
        server.address()
    )
}

#[test]
fn a_name_and_a_password_are_sent_when_they_are_asked_for_and_not_before() {
    let bytes = manifest(b"x").bytes();
    let server = Fake::default()
        .with_manifest("1", &bytes)
        .serve_but(|request| (!says(request, BASIC)).then(basic));
    let mut bed = Bed::new();
    bed.credentials(&auths(&server, "dTpnZWhlaW0="));
    let registry = bed.registry(&server);
    assert!(registry.resolve("1").unwrap().is_some());
    assert!(!server.requests()[0].headers.contains_key("authorization"));
    // Once known it is sent at once.
    assert!(registry.resolve("1").unwrap().is_some());
    assert_eq!(server.requests().len(), 3);
    assert!(!bed.seen.text().contains("geheim"));
    // Where nobody asks, nobody is told.
    let open = Fake::default().with_manifest("1", &bytes).serve();
    bed.credentials(&auths(&open, "dTpnZWhlaW0="));
    bed.registry(&open).resolve("1").unwrap();
    assert!(!open.requests()[0].headers.contains_key("authorization"));
}

#[test]
fn wrong_credentials_are_told_with_their_file_and_without_the_secret() {
    let server = Fake::default().serve_but(|_| Some(basic()));
    let mut bed = Bed::new();
    let missing = bed.dir.path().join("config.json");
    bed.options.credentials.push(missing.clone());
    let error = bed.registry(&server).resolve("1").unwrap_err();
    assert_told(
        &error,
        1,
        &[
            "without credentials",
            "authentication required",
            &missing.display().to_string(),
            "docker login 127.0.0.1:",
        ],
    );
    let path = bed.credentials(&auths(&server, "dTpnZWhlaW0="));
    let error = bed.registry(&server).resolve("1").unwrap_err();
    assert_told(
        &error,
        1,
        &[
            "401 Unauthorized, with the credentials of",
            &path.display().to_string(),
        ],
    );
    assert!(!format!("{error:?}{error}").contains("geheim"));
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let server = Fake::default().serve_but(|_| Some(basic()));
    for (text, words) in [
        (r#"{"auths": {"#.to_owned(), "it is no JSON, in line 1"),
        (
            auths(&server, "geheim!"),
            "is not the base64 of NAME:PASSWORD",
        ),
        (
            r#"{"credsStore": "../x"}"#.to_owned(),
            "no name of a helper",
        ),
        (
            r#"{"credsStore": "mkimg-none"}"#.to_owned(),
            "`docker-credential-mkimg-none`, named in",
        ),
    ] {
        let mut bed = Bed::new();
        let path = bed.credentials(&text);
        let error = bed.registry(&server).resolve("1").unwrap_err();
        let code = if text.contains("credsStore") { 1 } else { 2 };
        assert_told(&error, code, &[words, &path.display().to_string()]);
        assert!(!error.to_string().contains("geheim"));
    }
}

/// A registry that wants tokens of another server, which knows one user.
fn with_tokens(fake: Fake) -> (Server, Server) {
    let tokens = Server::start(|request| {
        let wide = request.target.contains("push");
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let known = says(request, BASIC) || form.contains("refresh_token=geheim");
        match (known, wide || form.contains("push")) {
            (true, true) => Reply::ok(br#"{"token":"wide"}"#),
            (true, false) => Reply::ok(br#"{"access_token":"narrow"}"#),
            (false, _) => Reply::new(
                "401 Unauthorized",
                br#"{"details":"incorrect username or password"}"#,
            ),
        }
    });
    let realm = tokens.url("/token?fixed=1");
    let registry = fake.serve_but(move |request| {
        let writes = !matches!(request.method.as_str(), "GET" | "HEAD");
        let fine = says(request, "Bearer wide") || (!writes && says(request, "Bearer narrow"));
        let actions = if writes { "pull,push" } else { "pull" };
        (!fine).then(|| {
            Reply::new("401 Unauthorized", b"").header(
                "WWW-Authenticate",
                &format!("Bearer realm=\"{realm}\",service=\"the service\",scope=\"repository:team/thing:{actions}\""),
            )
        })
    });
    (registry, tokens)
}

#[test]
fn tokens_are_had_where_the_registry_says_and_kept_until_they_do_not_do() {
    let file = noise(1000);
    let (registry, tokens) = with_tokens(Fake::default().with_blob(&file));
    let mut bed = Bed::new();
    bed.credentials(&auths(&registry, "dTpnZWhlaW0="));
    let blob = bed
        .registry(&registry)
        .blob(&layer_of(&file), &bed.store)
        .unwrap();
    let target = "/token?fixed=1&service=the+service&scope=repository%3Ateam%2Fthing%3Apull";
    assert_eq!(tokens.asked(), [(target.to_owned(), None)]);
    let other = noise(2000);
    fs::write(bed.dir.path().join("other"), &other).unwrap();
    let mut from = &other[..];
    let sent = bed.store.blob_from(&mut from, bed.dir.path()).unwrap();
    let pusher = bed.registry(&registry);
    assert!(pusher.put_blob(&layer_of(&other), &sent).unwrap());
    assert!(!pusher.put_blob(&layer_of(&file), &blob).unwrap());
    // One token for who only looks, one for who is going to send, from the first look on.
    let asked = tokens.asked();
    assert_eq!(asked[1].0, format!("{target}%2Cpush"));
    assert_eq!(asked.len(), 2);
    // The password went to the token server alone.
    assert!(
        registry
            .requests()
            .iter()
            .all(|request| !says(request, BASIC))
    );
}

#[test]
fn a_long_lived_token_is_exchanged() {
    let bytes = manifest(b"x").bytes();
    let (registry, tokens) = with_tokens(Fake::default().with_manifest("1", &bytes));
    let mut bed = Bed::new();
    let entry = r#"{"identitytoken": "geheim"}"#;
    bed.credentials(&format!(
        r#"{{"auths": {{"{}": {entry}}}}}"#,
        registry.address()
    ));
    assert!(bed.registry(&registry).resolve("1").unwrap().is_some());
    let asked = &tokens.requests()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("POST", "/token?fixed=1")
    );
    let form = String::from_utf8(asked.body.clone()).unwrap();
    assert_eq!(
        form,
        "service=the+service&scope=repository%3Ateam%2Fthing%3Apull&grant_type=refresh_token&client_id=mkimg&refresh_token=geheim"
    );
    assert!(!bed.seen.text().contains("geheim"));
}

#[test]
fn what_a_token_server_may_do_wrong_is_told() {
    let (registry, _tokens) = with_tokens(Fake::default());
    let bed = Bed::new();
    let error = bed.registry(&registry).resolve("1").unwrap_err();
    assert_told(
        &error,
        1,
        &[
            "gave no token for `127.0.0.1:",
            "401 Unauthorized",
            "incorrect username or password",
        ],
    );
    let cases = [
        ("http://registry.example/token", "speaks plain http"),
        ("file:///etc/passwd", "is no URL"),
        ("nonsense", "is no URL"),
    ];
    for (realm, words) in cases {
        let header = format!("Bearer realm=\"{realm}\"");
        let server = Fake::default().serve_but(move |_| {
            Some(Reply::new("401 Unauthorized", b"").header("WWW-Authenticate", &header))
        });
        let error = Bed::new().registry(&server).resolve("1").unwrap_err();
        assert_told(&error, 1, &[words]);
    }
    for (answer, words) in [
        (Reply::ok(b"<html>"), "the answer is no JSON"),
        (Reply::ok(b"{}"), "has no `token`"),
        (
            Reply::ok(br#"{"token":"a\nb"}"#),
            "cannot be sent in a header",
        ),
        (Reply::new("500 Internal Server Error", b""), "500"),
        (Reply::mute(), "no answer"),
    ] {
        let tokens = Server::start(move |_| answer.clone());
        let header = format!("Bearer realm=\"{}\"", tokens.url("/"));
        let server = Fake::default().serve_but(move |_| {
            Some(Reply::new("401 Unauthorized", b"").header("WWW-Authenticate", &header))
        });
        let error = Bed::new().registry(&server).resolve("1").unwrap_err();
        assert_told(&error, 1, &[words]);
    }
    // A token that does not do is not asked for again and again.
    let tokens = Server::start(|_| Reply::ok(br#"{"token":"t"}"#));
    let header = format!("Bearer realm=\"{}\"", tokens.url("/"));
    let server = Fake::default().serve_but(move |_| {
        Some(Reply::new("401 Unauthorized", b"").header("WWW-Authenticate", &header))
    });
    let error = Bed::new().registry(&server).resolve("1").unwrap_err();
    assert_told(&error, 1, &["401 Unauthorized"]);
    assert_eq!((tokens.requests().len(), server.requests().len()), (1, 2));
}

#[test]
fn a_helper_is_asked_for_the_registry_and_only_when_it_is_needed() {
    let bytes = manifest(b"x").bytes();
    let server = Fake::default()
        .with_manifest("1", &bytes)
        .serve_but(|request| (!says(request, BASIC)).then(basic));
    let mut bed = Bed::new();
    let address = server.address();
    let log = bed.dir.path().join("asked");
    // The helper is found on PATH, which is the process's: `/usr/local/bin` cannot be had, so the test is its own process.
    let bin = bed.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let helper = bin.join("docker-credential-mkimg-test");
    let script = format!(
        "#!/bin/sh\nread -r server || true\necho \"$1 $server\" >>{}\n\
         [ \"$server\" = {address} ] || {{ echo 'credentials not found in native keychain'; exit 1; }}\n\
         echo '{{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"geheim\"}}'\n",
        log.display()
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    bed.credentials(&format!(
        r#"{{"credHelpers": {{"{address}": "mkimg-test"}}, "credsStore": "none"}}"#
    ));
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "known::asks_with_a_helper", "--include-ignored"])
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("MKIMG_TEST_REGISTRY", &address)
        .env("MKIMG_TEST_FILE", &bed.options.credentials[0])
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(text.contains("1 passed"), "{text}");
    // Twice the same answer is not asked for.
    assert_eq!(fs::read_to_string(log).unwrap(), format!("get {address}\n"));
}

#[test]
#[ignore = "run by the test above, with another PATH"]
#[allow(clippy::disallowed_methods, reason = "told by the parent")]
fn asks_with_a_helper() {
    let (Ok(registry), Ok(file)) = (
        std::env::var("MKIMG_TEST_REGISTRY"),
        std::env::var("MKIMG_TEST_FILE"),
    ) else {
        return;
    };
    let mut bed = Bed::new();
    bed.options.credentials.push(file.into());
    let repository = bed.registry_at(&registry);
    assert!(repository.resolve("1").unwrap().is_some());
    assert!(repository.resolve("1").unwrap().is_some());
    assert!(!bed.seen.text().contains("geheim"));
}

#[test]
fn a_redirect_of_the_registry_that_asks_for_credentials_gets_none() {
    let thief = Server::start_on("127.0.0.2", |_| basic());
    let to = thief.url("/login");
    let server = Fake::default().serve_but(move |_| Some(Reply::to(&to)));
    let mut bed = Bed::new();
    bed.credentials(&auths(&server, "dTpnZWhlaW0="));
    let error = bed.registry(&server).resolve("1").unwrap_err();
    assert_told(&error, 1, &["401 Unauthorized, without credentials"]);
    assert!(
        thief
            .requests()
            .iter()
            .all(|request| !request.headers.contains_key("authorization"))
    );
    assert_eq!(thief.requests().len(), 1);
}

#[test]
fn a_manifest_goes_where_it_is_known_and_only_when_it_is_new() {
    let bytes = manifest(b"x").bytes();
    let fake = Fake::default();
    let server = fake.serve();
    let bed = Bed::new();
    let registry = bed.registry(&server);
    for _ in 0..2 {
        registry
            .put_manifest(&of_manifest(&bytes), &bytes, Some("1"))
            .unwrap();
        registry
            .put_manifest(&of_manifest(&bytes), &bytes, None)
            .unwrap();
    }
    let sent: Vec<String> = server
        .requests()
        .into_iter()
        .filter(|request| request.method == "PUT")
        .map(|request| request.target)
        .collect();
    assert_eq!(sent, ["/v2/team/thing/manifests/1"]);
    assert_eq!(fake.manifests.lock().unwrap()[&named(&bytes)], bytes);
}
