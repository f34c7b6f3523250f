//! Room under construction.

pub mod rpc_proxy;
