//! The one table from error class to HTTP status, and the problem details (RFC 9457) that carry it.
//!
//! A handler makes a [`Problem`]; the edge writes it in the caller's language with the request id.
//! Nothing here knows JSON-RPC codes (those are the proxy's), and no internal text leaves the
//! process: a store's own words go to the log only.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::auth::AuthError;
use super::auth::signature::SignatureError;
use crate::store::read::QueryError;
use crate::store::records::RecordsError;

/// What an answer tells a caller when it is not the answer asked for. Codes are stable: programs
/// branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    InvalidParameter,
    InvalidCursor,
    InvalidBody,
    SignInRequired,
    Forbidden,
    NotFound,
    Changed,
    InFlight,
    Unprocessable,
    KeyReused,
    RouteUnknown,
    ChainUnknown,
    TokenUnknown,
    TransactionUnknown,
    MethodNotAllowed,
    RequestTimeout,
    BodyTooLarge,
    BlockNotIndexed,
    RateLimited,
    BadRequest,
    Internal,
    Overloaded,
    AnswerTimeout,
    StoreUnavailable,
    NotReady,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    pub class: Class,
    pub code: &'static str,
    pub status: StatusCode,
    pub title_en: &'static str,
    pub title_pt: &'static str,
}

const fn row(
    class: Class,
    code: &'static str,
    status: StatusCode,
    title_en: &'static str,
    title_pt: &'static str,
) -> Row {
    Row { class, code, status, title_en, title_pt }
}

/// Every error the gateway can answer with.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    row(Class::InvalidParameter, "invalid_parameter", StatusCode::BAD_REQUEST, "A parameter is not valid", "Um parâmetro não é válido"),
    row(Class::InvalidCursor, "invalid_cursor", StatusCode::BAD_REQUEST, "The cursor is not valid here", "O cursor não é válido aqui"),
    row(Class::BadRequest, "bad_request", StatusCode::BAD_REQUEST, "The request cannot be read", "Não foi possível ler a requisição"),
    row(Class::SignInRequired, "sign_in_required", StatusCode::UNAUTHORIZED, "Sign in first", "É preciso entrar primeiro"),
    row(Class::InvalidBody, "invalid_body", StatusCode::BAD_REQUEST, "The request body is not valid", "O corpo da requisição não é válido"),
    row(Class::Forbidden, "forbidden", StatusCode::FORBIDDEN, "You may not do this", "Você não tem permissão para isto"),
    row(Class::NotFound, "not_found", StatusCode::NOT_FOUND, "There is no such thing", "Não existe tal item"),
    row(Class::Changed, "changed", StatusCode::CONFLICT, "This was changed at the same time", "Isto foi alterado ao mesmo tempo"),
    row(Class::InFlight, "in_flight", StatusCode::CONFLICT, "The same request is being answered", "A mesma requisição está sendo respondida"),
    row(Class::Unprocessable, "unprocessable", StatusCode::UNPROCESSABLE_ENTITY, "This cannot be done", "Isto não pode ser feito"),
    row(Class::KeyReused, "idempotency_key_reused", StatusCode::UNPROCESSABLE_ENTITY, "This key belongs to another request", "Esta chave pertence a outra requisição"),
    row(Class::RouteUnknown, "route_unknown", StatusCode::NOT_FOUND, "There is nothing at this address", "Não há nada neste endereço"),
    row(Class::ChainUnknown, "chain_unknown", StatusCode::NOT_FOUND, "This chain is not indexed here", "Esta rede não é indexada aqui"),
    row(Class::TokenUnknown, "token_unknown", StatusCode::NOT_FOUND, "No such token is known", "Nenhum token conhecido neste endereço"),
    row(Class::TransactionUnknown, "transaction_unknown", StatusCode::NOT_FOUND, "No event of this transaction is indexed", "Nenhum evento desta transação foi indexado"),
    row(Class::MethodNotAllowed, "method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed here", "Este método não é permitido aqui"),
    row(Class::RequestTimeout, "request_timeout", StatusCode::REQUEST_TIMEOUT, "The request took too long to arrive", "A requisição demorou demais para chegar"),
    row(Class::BodyTooLarge, "body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large", "O corpo da requisição é grande demais"),
    row(Class::BlockNotIndexed, "block_not_indexed", StatusCode::UNPROCESSABLE_ENTITY, "The index does not reach this block", "O índice não alcança este bloco"),
    row(Class::RateLimited, "rate_limited", StatusCode::TOO_MANY_REQUESTS, "Too many requests", "Requisições demais"),
    row(Class::Internal, "internal", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side", "Algo deu errado do nosso lado"),
    row(Class::Overloaded, "overloaded", StatusCode::SERVICE_UNAVAILABLE, "The service is at its limit", "O serviço está no limite"),
    row(Class::AnswerTimeout, "answer_timeout", StatusCode::GATEWAY_TIMEOUT, "The answer took too long", "A resposta demorou demais"),
    row(Class::StoreUnavailable, "store_unavailable", StatusCode::SERVICE_UNAVAILABLE, "The index cannot be read right now", "O índice não pode ser lido agora"),
    row(Class::NotReady, "not_ready", StatusCode::SERVICE_UNAVAILABLE, "Not ready yet", "Ainda não está pronto"),
];

impl Class {
    /// The class's row. A test proves that every class has one.
    pub fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.class == self).unwrap_or(&INTERNAL_ROW)
    }
}

/// What a class without a row would answer with.
const INTERNAL_ROW: Row = row(
    Class::Internal,
    "internal",
    StatusCode::INTERNAL_SERVER_ERROR,
    "Internal error",
    "Erro interno",
);

/// Languages that titles and pages exist in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    #[default]
    English,
    Portuguese,
}

impl Language {
    /// The better of our languages for an `Accept-Language` header; English when it names neither.
    pub fn of(accept_language: Option<&HeaderValue>) -> Self {
        let Some(text) = accept_language.and_then(|value| value.to_str().ok()) else {
            return Self::English;
        };
        let mut best = (0.0_f32, Self::English);
        for entry in text.split(',').take(LANGUAGES_READ_MAX) {
            let mut parts = entry.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
            let language = match tag.split('-').next() {
                Some("pt") => Self::Portuguese,
                Some("en") => Self::English,
                _ => continue,
            };
            if quality > best.0 {
                best = (quality, language);
            }
        }
        best.1
    }

    /// The tag for `Content-Language` and `lang`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Portuguese => "pt-BR",
        }
    }
}

/// A header may hold thousands of entries; browsers send fewer than ten.
const LANGUAGES_READ_MAX: usize = 32;

/// Characters of a caller's value that a problem repeats: enough to recognise a hash.
const VALUE_SHOWN_CHARS: usize = 100;

/// One thing wrong with one parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Key of the query parameter or name of the path segment.
    pub parameter: String,
    /// What was given, shortened.
    pub value: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl Fault {
    pub fn new(parameter: &str, value: &str, detail: impl Into<String>) -> Self {
        let mut shown: String = value.chars().take(VALUE_SHOWN_CHARS).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Self { parameter: parameter.to_owned(), value: shown, detail: detail.into() }
    }
}

/// An error on its way out.
#[derive(Debug, Clone)]
pub struct Problem {
    pub class: Class,
    pub detail: Cow<'static, str>,
    pub faults: Vec<Fault>,
    pub retry_after: Option<Duration>,
    /// Extension members of this class, such as the dependencies of `not_ready`.
    pub members: Map<String, Value>,
}

impl Problem {
    pub fn new(class: Class, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self { class, detail, faults: Vec::new(), retry_after: None, members: Map::new() }
    }

    /// The problem of one or more bad parameters.
    pub fn of_faults(faults: Vec<Fault>) -> Self {
        let detail = match faults.as_slice() {
            [one] => format!("{}: {}", one.parameter, one.detail),
            several => format!("{} parameters are not valid; see errors", several.len()),
        };
        Self { faults, ..Self::new(Class::InvalidParameter, detail) }
    }

    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The body as the outside sees it.
    pub fn to_json(&self, language: Language, request_id: Option<&str>) -> Value {
        let row = self.class.row();
        let title = match language {
            Language::English => row.title_en,
            Language::Portuguese => row.title_pt,
        };
        let mut body = self.members.clone();
        body.insert("type".into(), format!("urn:rwahub:problem:{}", row.code).into());
        body.insert("title".into(), title.into());
        body.insert("status".into(), row.status.as_u16().into());
        body.insert("detail".into(), self.detail.clone().into());
        body.insert("code".into(), row.code.into());
        if let Some(id) = request_id {
            body.insert("request_id".into(), id.into());
        }
        if !self.faults.is_empty() {
            let faults = serde_json::to_value(&self.faults).unwrap_or_default();
            body.insert("errors".into(), faults);
        }
        Value::Object(body)
    }

    /// The whole response in a given language.
    pub fn render(&self, language: Language, request_id: Option<&str>) -> Response {
        let body = self.to_json(language, request_id).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.class.row().status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json; charset=utf-8"),
        );
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.append(header::VARY, HeaderValue::from_static("accept-language"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs_up(wait).max(1)));
        }
        if self.class == Class::SignInRequired {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Whole seconds, rounded up: headers know no smaller unit, and too early is too early.
pub(in crate::gateway) fn secs_up(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

impl IntoResponse for Problem {
    /// English without a request id; the edge finds the problem in the extensions and writes it
    /// again for the caller at hand.
    fn into_response(self) -> Response {
        let mut response = self.render(Language::English, None);
        response.extensions_mut().insert(std::sync::Arc::new(self));
        response
    }
}

/// How soon a store that was busy or reconnecting is worth another try.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(2);

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::BadCursor(_) => Self::new(Class::InvalidCursor, error.to_string()),
            QueryError::OutOfRange { .. } => Self::new(Class::BlockNotIndexed, error.to_string()),
            QueryError::Store(cause) => {
                log::error!(target: "rwahub::gateway", "a query failed: {cause}");
                if cause.is_retryable() {
                    Self::new(Class::StoreUnavailable, "try again in a moment")
                        .retry_after(STORE_RETRY_AFTER)
                } else {
                    Self::new(Class::Internal, "the log of the service has the cause")
                }
            }
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let internal = || {
            log::error!(target: "rwahub::gateway", "sign-in or records: {error}");
            Self::new(Class::Internal, "the log of the service has the cause")
        };
        let class = match &error {
            AuthError::Unauthorized(_) | AuthError::Message(_) => Class::SignInRequired,
            AuthError::Signature(SignatureError::Unavailable) => Class::StoreUnavailable,
            AuthError::Signature(_) => Class::SignInRequired,
            AuthError::Forbidden(_) => Class::Forbidden,
            AuthError::NotFound(_) => Class::NotFound,
            AuthError::Unprocessable(_) => Class::Unprocessable,
            AuthError::Changed => Class::Changed,
            AuthError::KeyReused => Class::KeyReused,
            AuthError::InFlight => Class::InFlight,
            AuthError::Records(RecordsError::BadCursor) => Class::InvalidCursor,
            AuthError::Records(cause) if cause.is_retryable() => {
                log::error!(target: "rwahub::gateway", "records: {cause}");
                let problem = Self::new(Class::StoreUnavailable, "try again in a moment");
                return problem.retry_after(STORE_RETRY_AFTER);
            }
            AuthError::Records(_) | AuthError::Secret(_) | AuthError::Internal(_) => {
                return internal();
            }
        };
        let problem = Self::new(class, error.to_string());
        match class {
            Class::InFlight | Class::StoreUnavailable => problem.retry_after(STORE_RETRY_AFTER),
            _ => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_exactly_one_row_and_every_code_is_unique() {
        let mut codes: Vec<_> = TABLE.iter().map(|row| row.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), TABLE.len());
        for row in TABLE {
            assert_eq!(TABLE.iter().filter(|other| other.class == row.class).count(), 1);
            assert_eq!(row.class.row().code, row.code);
        }
        assert_eq!(TABLE.len(), Class::NotReady as usize + 1, "a class has no row");
    }

    #[test]
    fn the_language_with_the_highest_quality_wins() {
        let of = |text: &str| Language::of(Some(&HeaderValue::from_str(text).unwrap()));
        assert_eq!(of("pt-BR,pt;q=0.9,en;q=0.8"), Language::Portuguese);
        assert_eq!(of("en-GB, pt;q=0.9"), Language::English);
        assert_eq!(of("fr, pt;q=0.2, en;q=0.1"), Language::Portuguese);
        assert_eq!(of("fr"), Language::English);
        assert_eq!(of("pt;q=0"), Language::English);
        assert_eq!(of("pt;q=NaN"), Language::English);
        assert_eq!(Language::of(None), Language::English);
    }

    #[test]
    fn a_store_failure_does_not_leak_its_words() {
        let cause = crate::pipeline::error::StoreError::Corrupt("/var/lib/secret.sqlite".into());
        let problem = Problem::from(QueryError::Store(cause));
        assert_eq!(problem.class, Class::Internal);
        assert!(!problem.to_json(Language::English, None).to_string().contains("secret"));
    }
}
