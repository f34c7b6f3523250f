//! One TLS client configuration for HTTP and WebSocket: rustls with aws-lc-rs and the web's roots.
//!
//! Built with an explicit crypto provider, so that nothing depends on a process-wide default.

use std::sync::{Arc, OnceLock};

use hyper_rustls::ConfigBuilderExt;
use rustls::ClientConfig;

/// The configuration, built once. `None` if the crypto provider supports no TLS version we allow.
pub(super) fn client_config() -> Option<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    CONFIG
        .get_or_init(|| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let builder =
                ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            Some(Arc::new(builder.ok()?.with_webpki_roots().with_no_client_auth()))
        })
        .clone()
}
