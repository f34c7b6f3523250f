//! `/status`: how the service is, for anybody who asks in a browser. Rendered here, in English and
//! Brazilian Portuguese, without scripts and without requests to third parties.
//!
//! Shows what `/api/v1/status` shows and no more: chains and parts, never a provider.

use std::fmt::Write;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::error::Language;
use super::live::ComponentState;
use super::rest::Api;
use crate::store::read::ChainIndex;

/// The page loads the landing page's style sheet and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// A browser that stays on the page asks again.
const REFRESH_SECONDS: u32 = 30;

/// Words of one language.
struct Words {
    title: &'static str,
    well: &'static str,
    partly: &'static str,
    badly: &'static str,
    chains: &'static str,
    columns: [&'static str; 4],
    parts: &'static str,
    unknown: &'static str,
    states: [&'static str; 4],
}

const ENGLISH: Words = Words {
    title: "Service status",
    well: "Everything works",
    partly: "Partly degraded",
    badly: "Service disrupted",
    chains: "Networks",
    columns: ["Network", "Newest block", "Indexed block", "Blocks behind"],
    parts: "Parts",
    unknown: "unknown",
    states: ["works", "starting", "degraded", "failed"],
};

const PORTUGUESE: Words = Words {
    title: "Estado do serviço",
    well: "Tudo funciona",
    partly: "Parcialmente degradado",
    badly: "Serviço interrompido",
    chains: "Redes",
    columns: ["Rede", "Bloco mais recente", "Bloco indexado", "Blocos de atraso"],
    parts: "Componentes",
    unknown: "desconhecido",
    states: ["funciona", "iniciando", "degradado", "falhou"],
};

/// The page.
pub(in crate::gateway) fn routes(api: Api) -> Router {
    Router::new().route("/status", get(page)).with_state(api)
}

async fn page(State(api): State<Api>, headers: HeaderMap) -> Response {
    let language = Language::of(headers.get(header::ACCEPT_LANGUAGE));
    let chains = api.queries.chains().await;
    let html = render(&api, language, chains.as_deref().unwrap_or_default(), chains.is_err());
    let mut response = html.into_response();
    let out = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CONTENT_LANGUAGE, language.tag()),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept-language"),
    ] {
        out.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn render(api: &Api, language: Language, chains: &[ChainIndex], store_fails: bool) -> String {
    let words = match language {
        Language::English => &ENGLISH,
        Language::Portuguese => &PORTUGUESE,
    };
    let components = api.live.components();
    let worst = components.iter().map(|one| one.state).max().unwrap_or(ComponentState::Ok);
    let sentence = match (store_fails, worst) {
        (true, _) | (_, ComponentState::Failed) => words.badly,
        (false, ComponentState::Ok) => words.well,
        _ => words.partly,
    };
    let mut rows = String::new();
    let heads = api.live.heads();
    for index in chains {
        let head = heads.iter().find(|head| head.chain == index.chain).map(|head| head.number);
        let indexed = index.indexed.map(|block| block.number);
        let behind = head.zip(indexed).map(|(head, indexed)| head.saturating_sub(indexed));
        let shown =
            |number: Option<u64>| number.map_or(words.unknown.to_owned(), |n| n.to_string());
        let name = format!("{} ({})", escaped(&index.name), index.chain);
        let cells = [name, shown(head), shown(indexed), shown(behind)];
        row(&mut rows, &cells);
    }
    let mut parts = String::new();
    for component in &components {
        let state = match component.state {
            ComponentState::Ok => words.states[0],
            ComponentState::Starting => words.states[1],
            ComponentState::Degraded => words.states[2],
            ComponentState::Failed => words.states[3],
        };
        row(&mut parts, &[escaped(&component.name), state.to_owned()]);
    }
    let columns: String =
        words.columns.iter().map(|one| format!("<th scope=\"col\">{one}</th>")).collect();
    format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} – RWA Hub</title>\n\
         <link rel=\"stylesheet\" href=\"/landing.css\">\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <p class=\"lead\" role=\"status\">{sentence}</p>\n\
         <h2>{chains}</h2>\n<table>\n<thead><tr>{columns}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n\
         <h2>{parts_title}</h2>\n<table>\n<tbody>\n{parts}</tbody>\n</table>\n</main>\n\
         <footer>RWA Hub {version}</footer>\n</body>\n</html>\n",
        lang = language.tag(),
        title = words.title,
        chains = words.chains,
        parts_title = words.parts,
        version = escaped(&api.version),
    )
}

fn row(out: &mut String, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    // Writing to a String cannot fail.
    writeln!(out, "<tr>{cells}</tr>").unwrap_or_default();
}

/// Names come from the configuration; a page must not trust even that.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_name_stays_text() {
        assert_eq!(escaped("<b>\"a\" & b</b>"), "&lt;b&gt;&quot;a&quot; &amp; b&lt;/b&gt;");
    }
}
