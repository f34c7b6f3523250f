//! Sign-in through the router: tokens and their forgeries, rotation, refresh, keys, who may do what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use alloy_primitives::{Address, eip191_hash_message, keccak256};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt as _;
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::fake::{Fake, ORIGIN, WALLET};
use crate::gateway::access::judge;
use crate::gateway::auth::keys::Rotation;
use crate::gateway::auth::roles::{Grant, Permission, Role, Scope};
use crate::gateway::auth::users::NewUser;
use crate::gateway::auth::{How, Identity};
use crate::gateway::routes::{Access, ROUTES, Verb};

/// The clock of the fake begins here: 2027-01-15T08:00:00Z.
const START: &str = "2027-01-15T08:00:00Z";

fn wallet(seed: u8) -> (SigningKey, Address) {
    let key = SigningKey::from_slice(&[seed; 32]).unwrap();
    let point = key.verifying_key().to_encoded_point(false);
    let address = Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..]);
    (key, address)
}

fn sign(key: &SigningKey, text: &str) -> String {
    let hash = eip191_hash_message(text);
    let (signature, id) = key.sign_prehash_recoverable(hash.as_slice()).unwrap();
    let digits: String = signature.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}{:02x}", 27 + id.to_byte())
}

fn message(address: Address, nonce: &str) -> String {
    format!(
        "hub.example wants you to sign in with your Ethereum account:\n{}\n\nSign in.\n\n\
         URI: {ORIGIN}/login\nVersion: 1\nChain ID: 1\nNonce: {nonce}\nIssued At: {START}",
        address.to_checksum(None)
    )
}

struct Reply {
    status: StatusCode,
    body: Value,
    replayed: bool,
    cookies: Vec<String>,
}

async fn ask(
    router: &Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let response = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let status = response.status();
    let headers = response.headers().clone();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let cookies = headers.get_all("set-cookie").iter();
    Reply {
        status,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
        replayed: headers.contains_key("idempotent-replayed"),
        cookies: cookies.map(|value| value.to_str().unwrap().to_owned()).collect(),
    }
}

async fn post(router: &Router, path: &str, body: Value) -> Reply {
    ask(router, Method::POST, path, &[], Some(body)).await
}

async fn nonce(router: &Router) -> String {
    let reply = post(router, "/auth/nonce", json!({})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body["nonce"].as_str().unwrap().to_owned()
}

async fn sign_in(router: &Router, seed: u8) -> Value {
    let (key, address) = wallet(seed);
    let text = message(address, &nonce(router).await);
    let signature = sign(&key, &text);
    let reply =
        post(router, "/auth/verify", json!({"message": text, "signature": signature})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

async fn me(router: &Router, token: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    ask(router, Method::GET, "/auth/me", &[("authorization", &bearer)], None).await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

async fn enter(fake: &Fake, seed: u8, role: Role) -> String {
    let grants = vec![Grant { role, scope: Scope::Platform }];
    let new = NewUser { name: Some("person".into()), wallet: wallet(seed).1, grants };
    fake.auth.enter_user(new).await.unwrap().id
}

#[tokio::test]
async fn a_wallet_signs_in_once_per_nonce_and_becomes_an_investor() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let (key, address) = wallet(7);
    let text = message(address, &nonce(&router).await);
    let body = json!({"message": text, "signature": sign(&key, &text)});
    let first = post(&router, "/auth/verify", body.clone()).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let token = self::text(&first.body["access_token"]);
    let seen = me(&router, &token).await;
    assert_eq!(seen.body["grants"], json!([{"role": "investor", "scope": "platform"}]));
    assert_eq!(seen.body["wallets"], json!([format!("{address:#x}")]));
    let again = post(&router, "/auth/verify", body).await;
    assert_eq!((again.status.as_u16(), &again.body["code"]), (401, &json!("sign_in_required")));

    let fresh = nonce(&router).await;
    let wrong_key = wallet(8).0;
    let other = message(address, &fresh);
    let cases = [
        (other.clone(), sign(&wrong_key, &other)),
        (other.clone(), sign(&key, "something else")),
        (other.replace("hub.example wants", "evil.example wants"), String::new()),
        (other.replace(ORIGIN, "https://hub.example.evil"), String::new()),
        (other.replace("Chain ID: 1", "Chain ID: 5"), String::new()),
        (other.replace("2027", "2026"), String::new()),
        (other.replace("2027-01-15T08:00", "2027-01-15T08:02"), String::new()),
        (message(address, "abcdefgh12345678"), String::new()),
        (message(address, &fresh.replace(&fresh[50..52], "zz")), String::new()),
    ];
    for (text, signature) in cases {
        let signature = if signature.is_empty() { sign(&key, &text) } else { signature };
        let body = json!({"message": text, "signature": signature});
        let reply = post(&router, "/auth/verify", body).await;
        assert_eq!(reply.status, 401, "{text}: {}", reply.body);
    }
    // The nonce of all those failures is still good: none of them used it up.
    let body = json!({"message": other, "signature": sign(&key, &other)});
    assert_eq!(post(&router, "/auth/verify", body).await.status, 200);
    let late = nonce(&router).await;
    fake.clock.advance(300);
    let text = message(address, &late).replace("08:00:00", "08:04:59");
    let body = json!({"message": text, "signature": sign(&key, &text)});
    assert_eq!(post(&router, "/auth/verify", body).await.status, 401, "the nonce is too old");
}

#[tokio::test]
async fn a_contract_wallet_signs_in_and_is_asked_again_at_refresh() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let text = message(WALLET, &nonce(&router).await);
    let body = json!({"message": text, "signature": "0x0102"});
    let tokens = post(&router, "/auth/verify", body).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    let refreshed =
        post(&router, "/auth/refresh", json!({"refresh_token": tokens.body["refresh_token"]}))
            .await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.body);
    fake.clock.advance(8 * 3_600);
    let body = json!({"refresh_token": refreshed.body["refresh_token"]});
    assert_eq!(post(&router, "/auth/refresh", body).await.status, 401, "short sessions");
}

#[tokio::test]
async fn forged_and_foreign_tokens_are_refused() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let tokens = sign_in(&router, 7).await;
    let token = text(&tokens["access_token"]);
    assert_eq!(me(&router, &token).await.status, 200);
    let parts: Vec<&str> = token.split('.').collect();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let kid = header["kid"].clone();
    let mut forged = Vec::new();
    for none in ["none", "None", "NONE"] {
        let head = encode(&json!({"alg": none, "typ": "JWT", "kid": kid}));
        forged.push((none, format!("{head}.{}.", parts[1])));
    }
    // The published key as an HMAC secret, in the forms a confused library would take it.
    let set = ask(&router, Method::GET, "/auth/jwks.json", &[], None).await.body;
    let public = text(&set["keys"][0]["x"]);
    let raw = URL_SAFE_NO_PAD.decode(&public).unwrap();
    for secret in [raw.as_slice(), public.as_bytes()] {
        let mut head = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        head.kid = kid.as_str().map(str::to_owned);
        let key = jsonwebtoken::EncodingKey::from_secret(secret);
        forged.push(("HS256", jsonwebtoken::encode(&head, &claims, &key).unwrap()));
    }
    let rs = encode(&json!({"alg": "RS256", "kid": kid}));
    forged.push(("RS256", format!("{rs}.{}.{}", parts[1], parts[2])));
    for (name, value) in [
        ("aud", json!("another-service")),
        ("iss", json!("https://evil.example")),
        ("exp", json!(9_999_999_999_u64)),
        ("sub", json!("somebody")),
    ] {
        let mut changed = claims.clone();
        changed[name] = value;
        forged.push((name, format!("{}.{}.{}", parts[0], encode(&changed), parts[2])));
    }
    let unknown = encode(&json!({"alg": "EdDSA", "kid": "0000"}));
    forged.push(("kid", format!("{unknown}.{}.{}", parts[1], parts[2])));
    let no_kid = encode(&json!({"alg": "EdDSA"}));
    forged.push(("no kid", format!("{no_kid}.{}.{}", parts[1], parts[2])));
    forged.push(("cut", token[..token.len() - 4].to_owned()));
    forged.push(("long", "x".repeat(5_000)));
    for (name, token) in forged {
        let reply = me(&router, &token).await;
        assert_eq!(reply.status, 401, "{name} was accepted: {}", reply.body);
    }
    // A wrong credential is refused even where none is needed.
    let reply = ask(&router, Method::GET, "/api/v1/tokens", &[("authorization", "Bearer x")], None);
    assert_eq!(reply.await.status, 401);
    fake.clock.advance(10 * 60 + 6);
    assert_eq!(me(&router, &token).await.status, 401, "expired");
}

#[tokio::test]
async fn a_token_of_our_own_key_for_another_audience_is_refused() {
    let fake = Arc::new(Fake::default());
    let other = Fake::default();
    let (mut parts, router) = (fake.auth.parts.clone(), fake.router());
    parts.origin = "https://other.example".into();
    parts.clock = Arc::clone(&other.clock) as _;
    // The same records and secret, so the same keys, but tokens in another installation's name.
    let foreign = crate::gateway::auth::Auth::new(parts);
    let tokens = sign_in(&router, 7).await;
    let session = text(&tokens["session"]);
    let token = foreign.issue(&text(&tokens["user"]), &session).await.unwrap();
    assert_eq!(me(&router, &token).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_under_load_without_one_failed_request() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let token = text(&sign_in(&router, 7).await["access_token"]);
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (router, token) = (router.clone(), token.clone());
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let reply = me(&router, &token).await;
                    // The allowance of one caller is not what is tested here.
                    assert!([200, 429].contains(&reply.status.as_u16()), "{}", reply.body);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let actor = Identity::command();
    for at in 0..6 {
        let rotation = if at % 2 == 0 { Rotation::Now } else { Rotation::Scheduled };
        fake.auth.rotate(rotation, &actor, "test").await.unwrap();
        let before = served.load(Ordering::Relaxed);
        while served.load(Ordering::Relaxed) < before + 20 {
            tokio::task::yield_now().await;
        }
        // New tokens are signed and accepted at once, whichever key signs.
        let fresh = fake.auth.issue("u", "s").await.unwrap();
        fake.auth.check(&fresh).await.unwrap();
        fake.clock.advance(30);
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    let set = fake.auth.jwks().await.unwrap();
    assert!(set["keys"].as_array().unwrap().len() >= 2, "old keys are published while they count");
    fake.auth.rotate(Rotation::Revoke, &actor, "stolen").await.unwrap();
    assert_eq!(me(&router, &token).await.status, 401, "a withdrawn key's tokens are refused");
}

#[tokio::test]
async fn a_retired_key_is_neither_published_nor_accepted_and_the_next_is_published_first() {
    let fake = Fake::default();
    fake.auth.tend_keys().await.unwrap();
    let kid = |token: &str| {
        let head = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        text(&serde_json::from_slice::<Value>(&head).unwrap()["kid"])
    };
    let published = async || {
        let set = fake.auth.jwks().await.unwrap();
        set["keys"].as_array().unwrap().iter().map(|key| text(&key["kid"])).collect::<Vec<_>>()
    };
    let first = kid(&fake.auth.issue("u", "s").await.unwrap());
    fake.clock.advance(30 * 24 * 3_600);
    fake.auth.tend_keys().await.unwrap();
    assert_eq!(published().await.len(), 2);
    let token = fake.auth.issue("u", "s").await.unwrap();
    assert_eq!(kid(&token), first, "the next key does not sign before verifiers know it");
    fake.clock.advance(601);
    let second = kid(&fake.auth.issue("u", "s").await.unwrap());
    assert_ne!(second, first);
    fake.clock.advance(700);
    assert_eq!(published().await, [second]);
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_a_copy_of_it_ends_the_session() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let tokens = sign_in(&router, 7).await;
    let refresh = async |token: &Value| {
        post(&router, "/auth/refresh", json!({ "refresh_token": token })).await
    };
    let first = refresh(&tokens["refresh_token"]).await;
    assert_eq!(first.status, 200, "{}", first.body);
    // The answer was lost on the way: the same successor comes again.
    let lost = refresh(&tokens["refresh_token"]).await;
    assert_eq!(lost.body["refresh_token"], first.body["refresh_token"]);
    fake.clock.advance(6);
    let second = refresh(&first.body["refresh_token"]).await;
    assert_eq!(second.status, 200);
    // Two generations old, within the grace of the last exchange: a copy all the same.
    assert_eq!(refresh(&tokens["refresh_token"]).await.status, 401);
    assert_eq!(refresh(&second.body["refresh_token"]).await.status, 401, "the family is over");
    let access = text(&second.body["access_token"]);
    assert_eq!(me(&router, &access).await.status, 401, "and so are its access tokens");
    let entries = fake.auth.records().audit(0, 100).await.unwrap();
    assert!(entries.iter().any(|entry| entry.body.contains("session.reuse")));
    for bad in ["", "rwr_x", "rwr_a_0_00", "rwr_a_b_c_d"] {
        assert_eq!(refresh(&json!(bad)).await.status, 401, "{bad}");
    }
}

#[tokio::test]
async fn many_refreshes_at_one_moment_agree_on_one_successor() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let token = sign_in(&router, 7).await["refresh_token"].clone();
    let all = (0..8).map(|_| post(&router, "/auth/refresh", json!({ "refresh_token": token })));
    let replies = futures_util::future::join_all(all).await;
    for reply in &replies {
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.body["refresh_token"], replies[0].body["refresh_token"]);
    }
}

#[tokio::test]
async fn a_session_can_be_ended_and_a_locked_user_is_out_at_once() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    enter(&fake, 1, Role::SecurityAdmin).await;
    let admin = text(&sign_in(&router, 1).await["access_token"]);
    let admin = format!("Bearer {admin}");
    let tokens = sign_in(&router, 7).await;
    let user = text(&tokens["user"]);
    let bearer = format!("Bearer {}", text(&tokens["access_token"]));
    let auth = [("authorization", bearer.as_str())];
    let listed = ask(&router, Method::GET, "/auth/sessions", &auth, None).await;
    let sid = text(&listed.body["items"][0]["id"]);
    // Another's session does not exist, as far as one may know.
    let stranger = format!("Bearer {}", text(&sign_in(&router, 8).await["access_token"]));
    let path = format!("/auth/sessions/{sid}");
    let reply = ask(&router, Method::DELETE, &path, &[("authorization", &stranger)], None).await;
    assert_eq!(reply.status, 404);
    assert_eq!(ask(&router, Method::DELETE, &path, &auth, None).await.status, 204);
    assert_eq!(me(&router, &bearer[7..]).await.status, 401);
    let again = text(&sign_in(&router, 7).await["access_token"]);
    let path = format!("/api/v1/users/{user}/disabled");
    let body = json!({"disabled": true, "why": "left"});
    let reply = ask(&router, Method::PUT, &path, &[("authorization", &admin)], Some(body)).await;
    assert_eq!((reply.status.as_u16(), &reply.body["disabled"]), (200, &json!(true)));
    assert_eq!(me(&router, &again).await.status, 401);
}

#[tokio::test]
async fn a_key_is_shown_once_and_limited_to_scopes_addresses_and_time() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    enter(&fake, 1, Role::Auditor).await;
    let bearer = format!("Bearer {}", text(&sign_in(&router, 1).await["access_token"]));
    let auth = [("authorization", bearer.as_str())];
    let body = json!({"name": "ci", "scopes": ["audit_read"], "expires_in_days": 1});
    let made = ask(&router, Method::POST, "/api/v1/keys", &auth, Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let key = text(&made.body["key"]);
    assert!(key.starts_with("rwa_"));
    let by_key = [("x-api-key", key.as_str())];
    assert_eq!(ask(&router, Method::GET, "/api/v1/audit", &by_key, None).await.status, 200);
    let reply = ask(&router, Method::GET, "/api/v1/users", &by_key, None).await;
    assert_eq!((reply.status.as_u16(), &reply.body["code"]), (403, &json!("forbidden")));
    let listed = ask(&router, Method::GET, "/api/v1/keys", &auth, None).await;
    assert!(!listed.body.to_string().contains(&key[38..]), "the secret is not told again");
    assert!(listed.body["items"][0]["last_used_ms"].is_u64());
    for bad in [
        json!({"name": "x", "scopes": ["mint"], "expires_in_days": 1}),
        json!({"name": "x", "scopes": ["roles_grant"], "expires_in_days": 1}),
    ] {
        let reply = ask(&router, Method::POST, "/api/v1/keys", &auth, Some(bad)).await;
        assert_eq!(reply.status, 403, "more than its owner: {}", reply.body);
    }
    let bound = json!({"name": "x", "scopes": ["audit_read"], "addresses": ["203.0.113.0/24"],
        "expires_in_days": 1});
    let bound = ask(&router, Method::POST, "/api/v1/keys", &auth, Some(bound)).await;
    let bound = text(&bound.body["key"]);
    let reply = ask(&router, Method::GET, "/api/v1/audit", &[("x-api-key", &bound)], None).await;
    assert_eq!(reply.status, 401, "not from here");
    fake.clock.advance(24 * 3_600);
    assert_eq!(ask(&router, Method::GET, "/api/v1/audit", &by_key, None).await.status, 401);
    for bad in ["rwa_", "rwa_x", "rwa_x_y", "nonsense"] {
        let reply = ask(&router, Method::GET, "/api/v1/audit", &[("x-api-key", bad)], None).await;
        assert_eq!(reply.status, 401, "{bad}");
    }
}

#[tokio::test]
async fn a_cookie_session_changes_nothing_without_its_csrf_token() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let (key, address) = wallet(7);
    let text = message(address, &nonce(&router).await);
    let body = json!({"message": text, "signature": sign(&key, &text), "cookie": true});
    let reply = post(&router, "/auth/verify", body).await;
    assert!(reply.body["access_token"].is_null() && reply.body["refresh_token"].is_null());
    assert_eq!(reply.cookies.len(), 2);
    for cookie in &reply.cookies {
        for part in ["__Host-", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(cookie.contains(part), "{cookie}");
        }
    }
    let jar: Vec<_> = reply.cookies.iter().map(|c| c.split(';').next().unwrap()).collect();
    let jar = jar.join("; ");
    let csrf = self::text(&reply.body["csrf_token"]);
    let cookie = ("cookie", jar.as_str());
    assert_eq!(ask(&router, Method::GET, "/auth/me", &[cookie], None).await.status, 200);
    for wrong in ["", "00"] {
        let headers = [cookie, ("x-csrf-token", wrong)];
        assert_eq!(ask(&router, Method::POST, "/auth/logout", &headers, None).await.status, 403);
    }
    let headers = [cookie, ("x-csrf-token", csrf.as_str())];
    assert_eq!(ask(&router, Method::POST, "/auth/logout", &headers, None).await.status, 204);
    assert_eq!(ask(&router, Method::GET, "/auth/me", &[cookie], None).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_repeats_have_one_effect_and_one_answer() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    enter(&fake, 1, Role::SecurityAdmin).await;
    let bearer = format!("Bearer {}", text(&sign_in(&router, 1).await["access_token"]));
    let actor = fake.auth.by_token(&bearer[7..], None).await.unwrap();
    let once = crate::gateway::auth::effect::Once::new(&actor.subject(), "POST /x", "k", b"body");
    let done = Arc::new(AtomicUsize::new(0));
    let calls = (0..1_000).map(|_| {
        let (auth, once, done) = (fake.auth.clone(), once.clone(), Arc::clone(&done));
        let actor = actor.clone();
        tokio::spawn(async move {
            let effect = async {
                done.fetch_add(1, Ordering::SeqCst);
                let mut batch = crate::store::records::Batch::default();
                let new = NewUser { name: None, wallet: wallet(99).1, grants: vec![] };
                let user = auth.add_user(&mut batch, new, &actor, None)?;
                let body = json!({ "id": user.id });
                Ok(crate::gateway::auth::effect::Effect { batch, status: 201, body })
            };
            auth.perform(Some(&once), effect).await.unwrap()
        })
    });
    let answers = futures_util::future::join_all(calls).await;
    let first = answers[0].as_ref().unwrap().body.clone();
    let mut fresh = 0;
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!((answer.status, &answer.body), (201, &first));
        fresh += usize::from(!answer.replayed);
    }
    assert_eq!((fresh, done.load(Ordering::SeqCst)), (1, 1));
    let users = fake.auth.users(100, None).await.unwrap().items;
    assert_eq!(users.len(), 2, "the administrator and one more");
    assert!(fake.auth.flights.is_empty(), "nothing is remembered in memory");

    // Over HTTP: the same body again is replayed, another is refused, another caller has its own.
    let body = json!({"wallet": format!("{:#x}", wallet(50).1)});
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "abc")];
    let made = ask(&router, Method::POST, "/api/v1/users", &headers, Some(body.clone())).await;
    assert_eq!((made.status.as_u16(), made.replayed), (201, false), "{}", made.body);
    let again = ask(&router, Method::POST, "/api/v1/users", &headers, Some(body.clone())).await;
    assert_eq!((again.status.as_u16(), again.replayed, &again.body), (201, true, &made.body));
    let other = json!({"wallet": format!("{:#x}", wallet(51).1)});
    let refused = ask(&router, Method::POST, "/api/v1/users", &headers, Some(other)).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.body["code"], "idempotency_key_reused");
    let bad = [("authorization", bearer.as_str()), ("idempotency-key", "a b")];
    let refused = ask(&router, Method::POST, "/api/v1/users", &bad, Some(body)).await;
    assert_eq!(refused.status, 400);
    fake.clock.advance(24 * 3_600 + 1);
    assert!(fake.auth.sweep().await.unwrap() >= 2, "answers are kept for a day");
}

/// What the roles may do, written out once more by hand: the table under test must say the same.
fn expected(role: Role, permission: Permission) -> bool {
    use Permission as P;
    use Role as R;
    match permission {
        P::ChainRead | P::ProfileRead | P::KeysOwn => true,
        P::UsersRead => {
            [R::PlatformAdmin, R::SecurityAdmin, R::Support, R::Auditor].contains(&role)
        }
        P::UsersWrite | P::RolesGrant | P::SessionsRevoke => {
            [R::PlatformAdmin, R::SecurityAdmin].contains(&role)
        }
        P::AuditRead => [R::PlatformAdmin, R::SecurityAdmin, R::Auditor].contains(&role),
        P::ProvidersRead => [R::PlatformAdmin, R::Operator, R::Auditor].contains(&role),
        P::ProvidersWrite => [R::PlatformAdmin, R::Operator].contains(&role),
        _ => unreachable!("no route needs {permission:?}"),
    }
}

#[tokio::test]
async fn exactly_the_permitted_roles_pass_every_route() {
    let fake = Arc::new(Fake::default());
    let mut config = Fake::config();
    config.public_read = false;
    let routers = [(true, fake.router()), (false, fake.router_with(config))];
    let mut people = Vec::new();
    for (at, role) in Role::ALL.iter().enumerate() {
        let seed = 100 + u8::try_from(at).unwrap();
        enter(&fake, seed, *role).await;
        let token = text(&sign_in(&routers[0].1, seed).await["access_token"]);
        people.push((Some(*role), format!("Bearer {token}")));
    }
    people.push((None, String::new()));
    let mut judged = 0;
    for (public_read, router) in &routers {
        for route in ROUTES {
            for (role, bearer) in &people {
                let permitted = match (route.access, role) {
                    (Access::Open, _) => true,
                    (Access::ChainData, None) => *public_read,
                    (Access::ChainData, Some(_)) => true,
                    (Access::May(_), None) => false,
                    (Access::May(permission), Some(role)) => expected(*role, permission),
                };
                let what = format!("{role:?} {:?} {} {public_read}", route.verb, route.path);
                let identity = role.map(|role| Identity {
                    user: "u".into(),
                    how: How::Session("s".into()),
                    grants: vec![Grant { role, scope: Scope::Platform }],
                    limited_to: None,
                    address: None,
                });
                let verdict = judge(route.access, *public_read, identity.as_ref());
                assert_eq!(verdict.is_ok(), permitted, "{what}");
                judged += 1;
                // Through the whole router: an existing route that says neither 401 nor 403.
                // The fake's proxy takes posts alone, so the router answers a GET before anybody is judged.
                let elsewhere = route.path.starts_with("/rpc/") && route.verb == Verb::Get;
                if route.path.ends_with("/stream") || route.path == "/auth/logout" || elsewhere {
                    continue;
                }
                let path = route.path.replace("{chain_id}", "1").replace("{hash}", "0x00");
                let path = path.replace("{address}", "0x00").replace(['{', '}'], "");
                let method = match route.verb {
                    Verb::Get => Method::GET,
                    Verb::Post => Method::POST,
                    Verb::Put => Method::PUT,
                    Verb::Delete => Method::DELETE,
                };
                let headers: Vec<(&str, &str)> =
                    role.iter().map(|_| ("authorization", bearer.as_str())).collect();
                let body = (route.verb != Verb::Get).then(|| json!({}));
                let reply = ask(router, method, &path, &headers, body).await;
                let code = reply.status.as_u16();
                let refused = [401, 403].contains(&code);
                // Limits are per caller, and one of them asks everything here.
                assert!(code < 500 || code == 503, "{what}: {}", reply.body);
                if code != 429 {
                    assert_eq!(!refused, permitted, "{what}: {code} {}", reply.body);
                }
            }
        }
    }
    assert_eq!(judged, 2 * ROUTES.len() * (Role::ALL.len() + 1));
}

#[tokio::test]
async fn nobody_changes_their_own_rights_and_every_change_is_in_the_trail() {
    let fake = Arc::new(Fake::default());
    let router = fake.router();
    let own = enter(&fake, 1, Role::PlatformAdmin).await;
    let bearer = format!("Bearer {}", text(&sign_in(&router, 1).await["access_token"]));
    let auth = [("authorization", bearer.as_str()), ("x-request-id", "req-1")];
    let grants = json!({"grants": [{"role": "auditor", "scope": "platform"}], "why": "review"});
    let path = format!("/api/v1/users/{own}/grants");
    let reply = ask(&router, Method::PUT, &path, &auth, Some(grants.clone())).await;
    assert_eq!(reply.status, 403, "{}", reply.body);
    let wallet = format!("{:#x}", wallet(9).1);
    let made =
        ask(&router, Method::POST, "/api/v1/users", &auth, Some(json!({ "wallet": wallet }))).await;
    let id = text(&made.body["id"]);
    let path = format!("/api/v1/users/{id}/grants");
    let reply = ask(&router, Method::PUT, &path, &auth, Some(grants)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let trail = ask(&router, Method::GET, "/api/v1/audit?limit=1000", &auth, None).await.body;
    let last = trail["items"].as_array().unwrap().last().unwrap()["entry"].clone();
    assert_eq!(last["action"], "user.grant");
    assert_eq!((&last["who"], &last["target"]), (&json!(own), &json!(id)));
    assert_eq!((&last["why"], &last["request_id"]), (&json!("review"), &json!("req-1")));
    assert!(last["before"].is_string() && last["after"].is_string());
    assert_ne!(last["before"], last["after"]);
}
