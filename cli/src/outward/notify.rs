//! Tells those whom an environment names of what a report brings: signed calls, and messages in Slack.
//!
//! Each has a queue of its own, so that one who is away holds up no other; what does not fit is dropped and counted.

mod body;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use planner::finding::Disposition;
use planner::names::EnvironmentName;
use planner::notify::{Form, Receiver};
use reconciler::Reported;
use reconciler::messages::messages;
use server::Metrics;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use web::{Client, HeaderName, Method, Plain, Request, Url};

use crate::clock;
use crate::commands::registry::random_id;
use crate::secret_file;

/// How many messages may wait for one receiver.
const WAITING_MAX: usize = 32;
/// How often a message is tried.
const ATTEMPTS_MAX: u32 = 7;
/// The first pause between attempts, each other one twice as long.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells receivers.
pub(crate) struct Notifier {
    environment: EnvironmentName,
    settings: NotifySettings,
    metrics: Metrics,
    runtime: Handle,
    queues: BTreeMap<Receiver, Queue>,
    /// Why nobody is told, where that was said.
    trouble: Option<String>,
}

/// What messages are sent with.
#[derive(Clone)]
pub(crate) struct NotifySettings {
    /// The folder of the secrets.
    pub(crate) secrets: Option<PathBuf>,
    /// Makes what asks; most environments name nobody, and it reads all of the system's certificates.
    pub(crate) client: Arc<dyn Fn() -> Result<Client, String> + Send + Sync>,
}

/// What waits for one receiver. Dropped, it ends.
struct Queue {
    messages: mpsc::Sender<String>,
    task: AbortHandle,
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Notifier {
    /// Tells of `environment`. Called on a runtime, where messages are sent.
    pub(crate) fn new(environment: EnvironmentName, settings: NotifySettings, metrics: Metrics) -> Self {
        Self {
            environment,
            settings,
            metrics,
            runtime: Handle::current(),
            queues: BTreeMap::new(),
            trouble: None,
        }
    }

    /// Hands on what a report brings.
    pub(crate) fn hear(&mut self, reported: &Reported) {
        let receivers: BTreeSet<&Receiver> = reported.receivers.iter().collect();
        self.queues
            .retain(|receiver, _queue| receivers.contains(receiver));
        if receivers.is_empty() {
            return;
        }
        let messages = messages(reported);
        for receiver in receivers {
            for message in messages
                .iter()
                .filter(|message| receiver.topics.contains(&message.topic))
            {
                let text = body::body(&receiver.form, &self.environment, message, clock::now());
                if let Err(why) = self.enqueue(receiver, text) {
                    self.metrics.told(word(&receiver.form), "dropped");
                    if self.trouble.as_ref() != Some(&why) {
                        tracing::warn!(
                            receiver = receiver.secret_file,
                            reason = why,
                            "a receiver of notify is not told"
                        );
                        self.trouble = Some(why);
                    }
                }
            }
        }
    }

    fn enqueue(&mut self, receiver: &Receiver, text: String) -> Result<(), String> {
        if !self.queues.contains_key(receiver) {
            let queue = self.begin(receiver)?;
            self.queues.insert(receiver.clone(), queue);
        }
        let queue = self.queues.get(receiver).expect("invariant: it was begun");
        let sent = queue.messages.try_send(text);
        sent.map_err(|_full| format!("{WAITING_MAX} messages wait already"))
    }

    fn begin(&self, receiver: &Receiver) -> Result<Queue, String> {
        self.metrics.begin_told(word(&receiver.form));
        let folder = self.settings.secrets.as_ref();
        let folder = folder.ok_or("--notify-secrets names no folder, and `secretFile` is a file there")?;
        let sending = Sending {
            form: receiver.form.clone(),
            name: receiver.secret_file.clone(),
            secret: folder.join(&receiver.secret_file),
            client: (self.settings.client)()?,
            metrics: self.metrics.clone(),
        };
        let (messages, waiting) = mpsc::channel(WAITING_MAX);
        let task = self.runtime.spawn(sending.run(waiting)).abort_handle();
        Ok(Queue { messages, task })
    }
}

fn word(form: &Form) -> &'static str {
    match form {
        Form::Webhook { .. } => "webhook",
        Form::Slack => "slack",
    }
}

/// Sends to one receiver, one message after the other.
struct Sending {
    form: Form,
    name: String,
    secret: PathBuf,
    client: Client,
    metrics: Metrics,
}

impl Sending {
    async fn run(self, mut waiting: mpsc::Receiver<String>) {
        while let Some(text) = waiting.recv().await {
            self.deliver(&text).await;
        }
    }

    /// Tries until it is taken, a person must act, or it has been tried often enough.
    async fn deliver(&self, text: &str) {
        let mut pause = PAUSE;
        // The same for each attempt: who took it and could not say so knows it again.
        let Ok(id) = random_id() else { return };
        for attempt in 1..=ATTEMPTS_MAX {
            let (why, wait) = match self.send(&id, text).await {
                Ok(()) => {
                    self.metrics.told(word(&self.form), "ok");
                    return;
                }
                Err(failed) => failed,
            };
            self.metrics.told(word(&self.form), "failed");
            let Some(wait) = wait.filter(|_wait| attempt < ATTEMPTS_MAX) else {
                tracing::warn!(
                    receiver = self.name,
                    reason = why,
                    "a receiver of notify did not take a message; it is not sent again"
                );
                return;
            };
            tokio::time::sleep(wait.max(pause)).await;
            pause *= 2;
        }
    }

    /// Sends once; fails with why, and with how long the receiver asks to wait where trying again may help.
    async fn send(&self, id: &str, text: &str) -> Result<(), (String, Option<Duration>)> {
        let invalid = |why: String| (why, None);
        let secret = secret_file::read(&self.secret).map_err(invalid)?;
        let request = self
            .request(&secret, id, text)
            .map_err(|error| invalid(error.to_string()))?;
        let answer = self.client.send(&request).await.and_then(web::Response::success);
        answer.map(drop).map_err(|error| {
            let is_transient = error.disposition() == Disposition::Transient;
            let wait = is_transient.then(|| error.retry_after().unwrap_or_default());
            (error.to_string(), wait)
        })
    }

    fn request(&self, secret: &str, id: &str, text: &str) -> Result<Request, web::WebError> {
        let address = match &self.form {
            Form::Webhook { url } => url,
            Form::Slack => secret,
        };
        let url = Url::parse(address, Plain::Loopback)?;
        let request = Request::new(Method::POST, url).body("application/json", text.to_owned());
        if self.form == Form::Slack {
            return Ok(request);
        }
        let timestamp = clock::now().timestamp().to_string();
        let signature = server::sign(secret, id, &timestamp, text.as_bytes());
        Ok(request
            .header(HeaderName::from_static("webhook-id"), id)
            .header(HeaderName::from_static("webhook-timestamp"), &timestamp)
            .header(HeaderName::from_static("webhook-signature"), &signature))
    }
}
