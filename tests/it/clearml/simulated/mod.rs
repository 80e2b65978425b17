//! The simulated server: against what was recorded from the real one, and under our own client, the real SDK
//! and the real agent.

mod client;
mod programs;
mod recorded;

use std::sync::MutexGuard;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tidegate::world::clearml::Clearml;
use tidegate::world::clearml::credentials::{Credentials, User};
use tidegate::world::clock::Clock;
use tidegate::world::secret::Secret;
use tidegate::world::sim::clearml::http::{Face, Watch};
use tidegate::world::sim::clearml::{ClearmlServer, UserId, lock};

/// A face that is served while the test runs, by a simulated clock.
struct Rig {
    watch: Watch,
    clock: Clock,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Rig {
    /// A clock at `speed` times the wall's.
    #[expect(clippy::disallowed_methods, reason = "the test's own server")]
    async fn start(speed: u32) -> Self {
        let clock = Clock::simulated("2026-11-23T17:00:00Z".parse().unwrap(), speed);
        let server = ClearmlServer::new(clock.now()).shared();
        let face = Face::bind(server, clock, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let watch = face.watch();
        Self { watch, clock, serving: tokio::spawn(face.serve()) }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn server(&self) -> MutexGuard<'_, ClearmlServer> {
        lock(self.watch.server())
    }

    /// Lets that much time pass at once.
    async fn pass(&self, span: SignedDuration) {
        tokio::time::pause();
        tokio::time::advance(span.try_into().unwrap()).await;
        tokio::time::resume();
    }

    fn credentials(&self, console_secret: &str) -> Credentials {
        let user = |name: &str, secret: &str| User {
            key: Secret::new(format!("{}-KEY", name.to_uppercase())),
            secret: Secret::new(secret),
            from: format!("the place of {name}"),
        };
        Credentials {
            server: self.watch.url(),
            server_from: "the test".to_owned(),
            console: user("console", console_secret),
            agents: user("agents", "agents-secret"),
        }
    }

    fn client(&self) -> Clearml {
        Clearml::new(self.credentials("console-secret"), self.clock).unwrap()
    }

    /// Calls `[/version/]endpoint` as a user; the HTTP status and the whole answer.
    async fn call(&self, user: &UserId, endpoint: &str, body: Value) -> (u16, Value) {
        let (key, secret) = {
            let server = self.server();
            let user = server.user(user).unwrap();
            (user.access_key.clone(), user.secret_key.expose().to_owned())
        };
        self.send(endpoint, &body.to_string(), |request| request.basic_auth(&key, Some(&secret))).await
    }

    async fn send(
        &self,
        endpoint: &str,
        body: &str,
        with: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> (u16, Value) {
        let request = reqwest::Client::new().get(format!("{}/{endpoint}", self.watch.url())).body(body.to_owned());
        let answer = with(request).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    /// As the console's user; the data of a success.
    async fn ask(&self, endpoint: &str, body: Value) -> Value {
        let (code, answer) = self.call(&ClearmlServer::console(), endpoint, body).await;
        assert_eq!(code, 200, "{endpoint}: {answer}");
        answer["data"].clone()
    }
}
