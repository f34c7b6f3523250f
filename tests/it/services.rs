//! First proof that the scale-out engines are reachable with the official clients: one round trip each.

use crate::support::skip;

fn url(name: &str) -> Option<String> {
    match std::env::var(format!("RWAHUB_TEST_{name}_URL")) {
        Ok(url) => Some(url),
        Err(_) => {
            skip(name, "no server; `make test` starts one");
            None
        }
    }
}

#[tokio::test]
async fn mongodb_keeps_a_document() {
    let Some(url) = url("MONGODB") else { return };
    rwahub::app::install_tls();
    let client = mongodb::Client::with_uri_str(&url).await.expect("connects");
    let collection = client.database("rwahub_probe").collection::<mongodb::bson::Document>("probe");
    collection.drop().await.expect("drop");
    let document = mongodb::bson::doc! { "_id": "31337:1", "amount": "340282366920938463463374607431768211456" };
    collection.insert_one(document.clone()).await.expect("insert");
    let found = collection.find_one(mongodb::bson::doc! { "_id": "31337:1" }).await.expect("find");
    assert_eq!(found, Some(document));
}

#[tokio::test]
async fn redis_keeps_a_value() {
    let Some(url) = url("REDIS") else { return };
    let client = redis::Client::open(url).expect("url");
    let mut connection = client.get_multiplexed_async_connection().await.expect("connects");
    let key = "rwahub:probe";
    let written: String =
        redis::cmd("SET").arg(key).arg("42").query_async(&mut connection).await.expect("set");
    assert_eq!(written, "OK");
    let read: String = redis::cmd("GET").arg(key).query_async(&mut connection).await.expect("get");
    assert_eq!(read, "42");
}

#[tokio::test]
async fn jetstream_keeps_a_message() {
    use futures_util::StreamExt;
    let Some(url) = url("NATS") else { return };
    rwahub::app::install_tls();
    let client = async_nats::connect(&url).await.expect("connects");
    let jetstream = async_nats::jetstream::new(client);
    let config = async_nats::jetstream::stream::Config {
        name: "RWAHUB_PROBE".to_owned(),
        subjects: vec!["rwahub.probe".to_owned()],
        ..Default::default()
    };
    let stream = jetstream.create_stream(config).await.expect("stream");
    jetstream
        .publish("rwahub.probe", "observed".into())
        .await
        .expect("published")
        .await
        .expect("acknowledged");
    let consumer = stream
        .create_consumer(async_nats::jetstream::consumer::pull::Config::default())
        .await
        .expect("consumer");
    let mut messages = consumer.fetch().max_messages(1).messages().await.expect("fetch");
    let message = messages.next().await.expect("one").expect("no error");
    assert_eq!(&message.payload[..], b"observed");
    message.ack().await.expect("ack");
    jetstream.delete_stream("RWAHUB_PROBE").await.expect("deleted");
}
