//! The door: HTTP server, REST, live feed and the one table from error class to HTTP status.
//!
//! [`build`] puts the routes and the edge together, [`server::run`] serves them. The room reads the
//! store and the feed; it never calls a handler or a chain. JSON-RPC (`rpc_proxy`) comes in as a
//! router of its own.

pub mod server;

pub mod error;

pub mod cursor;

pub mod live;

pub mod rpc_proxy;

pub mod admin;

pub mod edge;

pub mod auth;

mod routes;

mod access;

mod rest;

mod openapi;

mod landing;

mod web;

mod status_page;

mod limits;

mod measure;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};

use self::auth::Auth;
use self::edge::{Edge, cors};
use self::error::{Class, Problem};
use self::live::ChainLive;
use self::measure::Measures;
use self::rest::Api;
use crate::config;
use crate::store::cache::Answers;
use crate::store::read::Queries;

pub use self::openapi::document as openapi_document;

/// Answers below this many bytes gain nothing from compression.
const COMPRESS_ABOVE_BYTES: u64 = 1_024;

/// What the gateway is made of.
#[derive(Debug)]
pub struct Parts {
    pub queries: Arc<dyn Queries>,
    /// Number of the newest feed entry, as the bus tells it after each commit.
    pub feed: watch::Receiver<u64>,
    pub live: Arc<dyn ChainLive>,
    pub config: config::Gateway,
    pub auth: Auth,
    /// Further routes behind the same edge: `/rpc/{chain_id}`. Must not set a fallback.
    pub rpc: Router,
    pub version: String,
    /// Where hot documents are kept for all gateways; none in a process of its own.
    pub kept: Option<Arc<dyn Answers>>,
}

/// Every route behind the edge.
pub fn build(mut parts: Parts) -> Router {
    let rpc = std::mem::take(&mut parts.rpc);
    let edge = Edge {
        max_body_bytes: parts.config.max_body_bytes,
        measures: Measures::default(),
        strict_transport: parts.config.own_origin().starts_with("https://"),
    };
    let cors = cors(&parts.config.cors_origins);
    let kept = parts.kept.take();
    let api = Api::new(parts);
    if let Some(kept) = kept {
        api.keep_in(kept);
    }
    let worth =
        SizeAbove::new(COMPRESS_ABOVE_BYTES).and(NotForContentType::const_new("text/event-stream"));
    let compression = CompressionLayer::new().compress_when(worth);
    let hot = from_fn_with_state(api.clone(), rest::kept::kept);
    let table =
        routes::router().route_layer(hot).with_state(api.clone()).layer(compression.clone());
    Router::new()
        .merge(table)
        .merge(rpc)
        .route_layer(from_fn_with_state(api.clone(), access::admit))
        .merge(status_page::routes(api).layer(compression.clone()))
        .merge(landing::routes().layer(compression.clone()))
        .merge(web::routes().layer(compression))
        .fallback(route_unknown)
        .method_not_allowed_fallback(method_not_allowed)
        // The edge has the limit of the configuration; the framework's own 2 MB would come first.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(edge, edge::edge))
        .layer(cors)
}

/// The probes alone: for a process that serves no data.
pub fn build_probes(parts: Parts) -> Router {
    let api = Api::new(parts);
    routes::probes()
        .with_state(api)
        .fallback(route_unknown)
        .method_not_allowed_fallback(method_not_allowed)
}

async fn route_unknown() -> Response {
    let detail = "see /api/v1/openapi.json for all addresses";
    Problem::new(Class::RouteUnknown, detail).into_response()
}

async fn method_not_allowed() -> Response {
    Problem::new(Class::MethodNotAllowed, "the allow header names the methods that are")
        .into_response()
}
