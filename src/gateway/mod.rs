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

mod rest;

mod openapi;

mod landing;

mod web;

mod limits;

mod measure;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};

use self::edge::{Edge, cors};
use self::error::{Class, Problem};
use self::live::ChainLive;
use self::measure::Measures;
use self::rest::Api;
use crate::config;
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
    /// Further routes behind the same edge: `/rpc/{chain_id}`. Must not set a fallback.
    pub rpc: Router,
    pub version: String,
}

/// Every route behind the edge.
pub fn build(parts: Parts) -> Router {
    let Parts { queries, feed, live, config, rpc, version } = parts;
    let api = Api::new(queries, feed, live, version);
    let worth =
        SizeAbove::new(COMPRESS_ABOVE_BYTES).and(NotForContentType::const_new("text/event-stream"));
    let compression = CompressionLayer::new().compress_when(worth);
    let data = rest::data(api.clone()).layer(compression.clone());
    let data = data.merge(rpc);
    let data =
        if config.public_read { data } else { data.route_layer(from_fn(rest::refuse_anonymous)) };
    let edge = Edge { max_body_bytes: config.max_body_bytes, measures: Measures::default() };
    Router::new()
        .merge(data)
        .merge(rest::open(api).layer(compression.clone()))
        .merge(landing::routes().layer(compression.clone()))
        .merge(web::routes().layer(compression))
        .fallback(route_unknown)
        .method_not_allowed_fallback(method_not_allowed)
        // The edge has the limit of the configuration; the framework's own 2 MB would come first.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(edge, edge::edge))
        .layer(cors(&config.cors_origins))
}

async fn route_unknown() -> Response {
    let detail = "see /api/v1/openapi.json for all addresses";
    Problem::new(Class::RouteUnknown, detail).into_response()
}

async fn method_not_allowed() -> Response {
    Problem::new(Class::MethodNotAllowed, "the allow header names the methods that are")
        .into_response()
}
