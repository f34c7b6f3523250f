//! The effective configuration as TOML, secrets redacted: what `rwahub check` shows.

use std::fmt::Write;

use toml::Value;

use super::{
    Abi, Addresses, Bus, Cache, Chain, Config, Contract, LogFormat, Provider, Store, Verify,
};

impl Config {
    /// Every key with the value that counts. URLs end at their host; all else loads again as it is.
    pub fn to_toml_redacted(&self) -> String {
        let mut out = String::new();
        self.chains.iter().for_each(|chain| write_chain(&mut out, chain));
        self.contracts.iter().for_each(|contract| write_contract(&mut out, contract));
        let Store::Embedded { path } = &self.store;
        head(&mut out, "[store]");
        line(&mut out, "kind", "embedded");
        line(&mut out, "path", path.display().to_string());
        let Cache::Memory = self.cache;
        head(&mut out, "[cache]");
        line(&mut out, "kind", "memory");
        let Bus::Embedded = self.bus;
        head(&mut out, "[bus]");
        line(&mut out, "kind", "embedded");
        head(&mut out, "[gateway]");
        line(&mut out, "listen", self.gateway.listen.to_string());
        line(&mut out, "public_read", self.gateway.public_read);
        line(&mut out, "max_body_bytes", integer(self.gateway.max_body_bytes as u64));
        line(&mut out, "max_batch_items", integer(self.gateway.max_batch_items as u64));
        line(&mut out, "cors_origins", self.gateway.cors_origins.clone());
        head(&mut out, "[telemetry]");
        line(&mut out, "metrics_listen", self.telemetry.metrics_listen.to_string());
        line(
            &mut out,
            "log_format",
            match self.telemetry.log_format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            },
        );
        line(&mut out, "log_level", self.telemetry.log_level.clone());
        out
    }
}

fn write_chain(out: &mut String, chain: &Chain) {
    head(out, "[[chain]]");
    line(out, "id", integer(chain.id.0));
    line(out, "name", chain.name.clone());
    line(out, "start_block", integer(chain.start_block));
    line(out, "confirmations", integer(chain.confirmations));
    line(out, "reorg_window_blocks", integer(chain.reorg_window_blocks));
    line(
        out,
        "verify",
        match chain.verify {
            Verify::Receipts => "receipts",
            Verify::Bloom => "bloom",
            Verify::Off => "off",
        },
    );
    let poll_ms = u64::try_from(chain.poll_interval.as_millis()).unwrap_or(u64::MAX);
    line(out, "poll_interval_ms", integer(poll_ms));
    line(out, "head_quorum", integer(chain.head_quorum as u64));
    chain.providers.iter().for_each(|provider| write_provider(out, provider));
}

fn write_provider(out: &mut String, provider: &Provider) {
    head(out, "[[chain.provider]]");
    line(out, "name", provider.name.clone());
    line(out, "url", provider.url.redacted());
    line(out, "weight", integer(u64::from(provider.weight)));
    if let Some(limit) = provider.rate_limit_rps {
        line(out, "rate_limit_rps", integer(u64::from(limit)));
    }
    if let Some(limit) = provider.max_block_range {
        line(out, "max_block_range", integer(limit));
    }
}

fn write_contract(out: &mut String, contract: &Contract) {
    head(out, "[[contract]]");
    line(out, "name", contract.name.clone());
    line(out, "chain_id", integer(contract.chain_id.0));
    line(
        out,
        "abi",
        match &contract.abi {
            Abi::BuiltIn(pack) => pack.as_str().to_owned(),
            Abi::Custom { path, .. } => path.display().to_string(),
        },
    );
    line(
        out,
        "address",
        match &contract.addresses {
            Addresses::Any => Value::from("any"),
            Addresses::Listed(list) => Value::from(
                list.iter().map(|address| address.to_checksum(None)).collect::<Vec<_>>(),
            ),
            Addresses::Factory { factory, event, parameter, .. } => Value::Table(
                [
                    ("factory", &factory.to_checksum(None)),
                    ("event", event),
                    ("parameter", parameter),
                ]
                .map(|(key, text)| (key.to_owned(), Value::from(text.clone())))
                .into_iter()
                .collect(),
            ),
        },
    );
    if let Some(start) = contract.start_block {
        line(out, "start_block", integer(start));
    }
    if !contract.events.is_empty() {
        line(out, "events", contract.events.clone());
    }
}

fn head(out: &mut String, title: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    // Writing to a String cannot fail.
    writeln!(out, "{title}").unwrap_or_default();
}

fn line(out: &mut String, key: &str, value: impl Into<Value>) {
    writeln!(out, "{key} = {}", value.into()).unwrap_or_default();
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
