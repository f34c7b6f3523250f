//! The page at `/` for a person who opens the address in a browser: what this is and where to go.
//!
//! Static, in English and Brazilian Portuguese, without scripts and without requests to third
//! parties. Shows no data, so it stays open when reading is not.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::get;

use super::error::Language;
use super::rest::revalidated;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
/// The page loads one style sheet of ours and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const CACHE: &str = "public, max-age=300";

/// Placeholder, English, Portuguese.
const TEXTS: &[(&str, &str, &str)] = &[
    ("lang", "en", "pt-BR"),
    (
        "lead",
        "Events, tokens and holders of real-world assets, indexed from the chain and proven.",
        "Eventos, tokens e titulares de ativos do mundo real, indexados da rede e comprovados.",
    ),
    ("look", "Look", "Consultar"),
    ("status", "How the service and each chain stand", "Como estão o serviço e cada rede"),
    ("tokens", "Tokens that are indexed", "Tokens indexados"),
    ("events", "Newest events", "Eventos mais recentes"),
    ("stream", "Events as they happen", "Eventos no momento em que ocorrem"),
    ("build", "Build", "Desenvolver"),
    (
        "openapi",
        "Description of every address, OpenAPI 3.1",
        "Descrição de cada endereço, OpenAPI 3.1",
    ),
    ("rpc", "JSON-RPC for wallets and programs", "JSON-RPC para carteiras e programas"),
    ("operate", "Operate", "Operar"),
    ("live", "The process answers", "O processo responde"),
    ("page", "How the service is, as a page", "Como está o serviço, em uma página"),
    ("ready", "Every dependency is there", "Todas as dependências estão disponíveis"),
    (
        "foot",
        "No scripts, no cookies, no third parties.",
        "Sem scripts, sem cookies, sem terceiros.",
    ),
];

static ENGLISH: LazyLock<String> = LazyLock::new(|| written(|text| text.1));
static PORTUGUESE: LazyLock<String> = LazyLock::new(|| written(|text| text.2));

fn written(pick: impl Fn(&(&'static str, &'static str, &'static str)) -> &'static str) -> String {
    TEXTS.iter().fold(PAGE.to_owned(), |page, text| {
        page.replace(&format!("{{{{{}}}}}", text.0), pick(text))
    })
}

/// `/` and its style sheet.
pub(in crate::gateway) fn routes() -> Router {
    Router::new().route("/", get(page)).route("/landing.css", get(style))
}

async fn page(headers: HeaderMap) -> Response {
    let language = Language::of(headers.get(header::ACCEPT_LANGUAGE));
    let html = match language {
        Language::English => &*ENGLISH,
        Language::Portuguese => &*PORTUGUESE,
    };
    let bytes = html.clone().into_bytes();
    let mut response = revalidated(&headers, "text/html; charset=utf-8", bytes, CACHE);
    let out = response.headers_mut();
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    out.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    out.append(header::VARY, HeaderValue::from_static("accept-language"));
    response
}

async fn style(headers: HeaderMap) -> Response {
    revalidated(&headers, "text/css; charset=utf-8", STYLE.as_bytes().to_vec(), CACHE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left_and_nothing_comes_from_elsewhere() {
        for page in [&*ENGLISH, &*PORTUGUESE] {
            assert!(!page.contains("{{"), "{page}");
            for forbidden in ["http://", "https://", "<script", "style=", "//cdn"] {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
        }
        assert_ne!(*ENGLISH, *PORTUGUESE);
    }
}
