//! Who answers calls where the models are in this process: its slots, as over HTTP.

use std::sync::Arc;
use std::time::Instant;

use prost::Message;
use warp::reply::Response;

use super::{Answering, Description, Refusal, Told, describe, frames, oip, request};
use crate::http::aside::Aside;
use crate::http::body::Body;
use crate::http::budget::Budget;
use crate::http::frame::Request;
use crate::http::place::Place;
use crate::http::reply::{self, Failure};
use crate::inference::Server;
use crate::inference::describe::readiness;
use crate::inference::envelope::{Envelope, Form, Layout};
use crate::inference::evaluate::{self, Served};
use crate::inference::prepare::choice;
use crate::runtime::{Choice, Runtime};

impl Answering for Server {
    fn aside(&self) -> &Aside {
        &self.aside
    }

    fn answers(&self) -> &Budget {
        &self.answers
    }

    fn ready(&self) -> bool {
        self.runtime.ready(Instant::now())
    }

    fn model_ready(&self, name: &str, choice: &Choice) -> Result<bool, Failure> {
        Ok(readiness(&self.runtime, name, choice)?.is_ready())
    }

    /// Answers a request for predictions; what fails before it has a slot is counted as unrouted.
    async fn infer(&self, request: Request<'_>, body: Body) -> Result<Told, Refusal> {
        let Request { place, headers, .. } = request;
        let unrouted = |failure| self.unrouted(None, failure);
        let _turn = self.admit(place).map_err(unrouted)?;
        let (body, at) = frames::open(&self.aside, headers, body).await.map_err(unrouted)?;
        let (name, version) = {
            let named = request::named(body.get(at..).unwrap_or_default()).map_err(unrouted)?;
            (named.model.to_owned(), named.version.map(str::to_owned))
        };
        let model = self.model(&name).map_err(unrouted)?;
        let choice =
            choice(version.as_deref(), headers).map_err(|failure| self.unrouted(Some(&model), failure))?;
        let form = (
            Form::Message,
            Envelope {
                layout: Layout::Message { at },
                coding: None,
            },
        );
        let Served { loaded, result } = evaluate::run(self, place, &model, choice, form, headers, body)
            .await
            .map_err(|failure| self.unrouted(Some(&model), failure))?;
        match result {
            Ok((answer, held)) => Ok(frames::answer(answer.bytes, &loaded.headers, held).into()),
            Err(failure) => Err(Refusal {
                failure,
                loaded: Some(loaded),
            }),
        }
    }

    async fn describe(&self, what: Description, request: Request<'_>, body: Body) -> Result<Told, Refusal> {
        let Request { place, headers, .. } = request;
        match what {
            Description::Metadata => {
                let asked: oip::ModelMetadataRequest = frames::read(&self.aside, headers, body).await?;
                let model = self.model(&asked.name)?;
                self.said(place, &describe::model(&model, &asked, headers)?).await
            }
            Description::Config => {
                let asked: oip::ModelConfigRequest = frames::read(&self.aside, headers, body).await?;
                let model = self.model(&asked.name)?;
                let rows_max = self.limits.rows;
                let configuration = describe::configuration(&model, &asked, headers, rows_max)?;
                Ok(frames::said(&configuration).into())
            }
            Description::Statistics => {
                let asked: oip::ModelStatisticsRequest = frames::read(&self.aside, headers, body).await?;
                if asked.name.is_empty() {
                    return Ok(self.list(place, describe::all_statistics).await?.into());
                }
                let model = self.model(&asked.name)?;
                self.said(place, &describe::statistics(&model, &asked, headers)?)
                    .await
            }
        }
    }

    async fn index(&self, place: &Arc<Place>, only_ready: bool) -> Result<Response, Failure> {
        self.list(place, move |runtime| describe::index(runtime, only_ready))
            .await
    }
}

impl Server {
    async fn said(&self, place: &Arc<Place>, message: &impl Message) -> Result<Told, Refusal> {
        Ok(reply::counted(frames::said(message), &self.answers, place)
            .await?
            .into())
    }

    /// Makes an answer that names every model on a thread that may block.
    async fn list<M: Message>(
        &self,
        place: &Arc<Place>,
        list: impl FnOnce(&Runtime) -> M + Send + 'static,
    ) -> Result<Response, Failure> {
        let made = move |runtime: &Runtime| frames::said(&list(runtime));
        self.listing(&self.listings, place, made).await
    }
}
