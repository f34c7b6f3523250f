//! The two front ends under `/admin/` and `/market/`: what `make web` built, carried inside the binary.
//!
//! Names under `/assets/` that hold a hash never change and are cached for ever; the two pages are asked
//! for again each time. Texts are stored in brotli too, so nothing is compressed while people wait. Shows
//! no data by itself, so it stays open when reading is not.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::{Class, Problem};
use super::rest::revalidated;

/// In debug builds the files are read from the folder, so that a rebuilt page shows without a rebuilt daemon.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Built;

/// Everything from here and nothing from elsewhere; images of wallets come as `data:`.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";
/// The name changes with the content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Files with a fixed name.
const FOR_A_WHILE: &str = "public, max-age=300";
/// A new version must be seen at once.
const PAGE_CACHE: &str = "no-cache";
/// Digits and letters of a hash in a built name, as in `market-DTamrkSh.js`.
const HASH_CHARS: usize = 8;

/// The pages, whatever path below them is asked for: the front ends route by themselves.
pub(in crate::gateway) fn routes() -> Router {
    Router::new()
        .route("/admin", get(|| async { Redirect::permanent("/admin/") }))
        .route("/admin/", get(admin))
        .route("/admin/{*path}", get(admin))
        .route("/market", get(|| async { Redirect::permanent("/market/") }))
        .route("/market/", get(market))
        .route("/market/{*path}", get(market))
        .route("/assets/{*name}", get(asset))
}

async fn admin(headers: HeaderMap) -> Response {
    page(&headers, "admin.html")
}

async fn market(headers: HeaderMap) -> Response {
    page(&headers, "market.html")
}

fn page(headers: &HeaderMap, name: &str) -> Response {
    match file(headers, name, "text/html; charset=utf-8", PAGE_CACHE) {
        Some(mut response) => {
            let policy = HeaderValue::from_static(POLICY);
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            response
        }
        None => {
            let detail = "this binary was built without the front ends; run `make web`, then build it again";
            Problem::new(Class::RouteUnknown, detail).into_response()
        }
    }
}

async fn asset(headers: HeaderMap, Path(name): Path<String>) -> Response {
    let cache = if is_hashed(&name) { FOR_EVER } else { FOR_A_WHILE };
    let served = content_type(&name)
        .and_then(|content_type| file(&headers, &format!("assets/{name}"), content_type, cache));
    served.unwrap_or_else(|| {
        Problem::new(Class::RouteUnknown, "no such file; load the page again").into_response()
    })
}

/// A built file, in brotli where it exists and the caller takes it.
fn file(
    headers: &HeaderMap,
    name: &str,
    content_type: &'static str,
    cache: &'static str,
) -> Option<Response> {
    let plain = Built::get(name)?;
    let packed = Built::get(&format!("{name}.br"));
    let (EmbeddedFile { data, .. }, encoding) = match packed {
        Some(packed) if takes_brotli(headers) => (packed, Some(HeaderValue::from_static("br"))),
        _ => (plain, None),
    };
    let mut response = revalidated(headers, content_type, data.into_owned(), cache);
    let out = response.headers_mut();
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        out.insert(header::CONTENT_ENCODING, encoding);
    }
    Some(response)
}

fn takes_brotli(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().any(|value| {
        value.to_str().is_ok_and(|list| {
            list.split(',').any(|one| {
                let mut parts = one.split(';').map(str::trim);
                parts.next() == Some("br") && parts.next() != Some("q=0")
            })
        })
    })
}

/// Only what a build makes; anything else is not ours to serve.
fn content_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => return None,
    })
}

/// True for names that the build gave a hash of the content.
fn is_hashed(name: &str) -> bool {
    let Some((stem, _)) = name.rsplit_once('.') else { return false };
    stem.len() > HASH_CHARS
        && stem.chars().rev().take(HASH_CHARS).all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && stem.chars().rev().nth(HASH_CHARS) == Some('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(encodings: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(encodings).unwrap());
        headers
    }

    #[test]
    fn only_names_with_a_hash_are_kept_for_ever() {
        assert!(is_hashed("market-DTamrkSh.js"));
        assert!(is_hashed("preload-helper-cK5ReCjH.js"));
        assert!(is_hashed("_esm-C-y3_oFv.js"));
        assert!(!is_hashed("theme.js"));
        assert!(!is_hashed("mark.svg"));
        assert!(!is_hashed("no-dot"));
    }

    #[test]
    fn brotli_goes_only_to_those_who_take_it() {
        assert!(takes_brotli(&accepting("gzip, deflate, br, zstd")));
        assert!(takes_brotli(&accepting("br;q=0.5")));
        assert!(!takes_brotli(&accepting("br;q=0, gzip")));
        assert!(!takes_brotli(&accepting("gzip, brx")));
        assert!(!takes_brotli(&HeaderMap::new()));
    }

    #[test]
    fn files_that_no_build_makes_have_no_type() {
        assert_eq!(content_type("x.js"), Some("text/javascript; charset=utf-8"));
        assert_eq!(content_type("x.js.br"), None);
        assert_eq!(content_type("x"), None);
    }
}
