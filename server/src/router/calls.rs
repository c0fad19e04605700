//! What comes by gRPC: where a call goes its message says, in which the names are read and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::HeaderMap;
use warp::reply::Response;

use super::describe;
use super::forward::{Outgoing, Way};
use super::listener::Server;
use super::table::Table;
use super::upstream::By;
use crate::http::aside::Aside;
use crate::http::body::Body;
use crate::http::budget::{Budget, Held};
use crate::http::frame::Request;
use crate::http::place::Place;
use crate::http::reply::{self, Failure};
use crate::inference::choice;
use crate::inference::grpc::describe::given;
use crate::inference::grpc::oip::repository_index_response::ModelIndex;
use crate::inference::grpc::oip::{ModelStatisticsRequest, RepositoryIndexResponse};
use crate::inference::grpc::{Answering, Description, Refusal, Told, frames, request};
use crate::runtime::Choice;

impl Answering for Server {
    fn aside(&self) -> &Aside {
        &self.aside
    }

    fn answers(&self) -> &Budget {
        &self.answers
    }

    /// Somebody on one of the tracks answers by gRPC.
    fn ready(&self) -> bool {
        self.router.ready_by(By::Grpc)
    }

    fn model_ready(&self, name: &str, choice: &Choice) -> Result<bool, Failure> {
        let table = self.of_model(Some(name))?;
        Ok(describe::is_ready(&table, choice, By::Grpc)?)
    }

    /// Has a request for predictions answered. What is refused here is not counted in the split.
    async fn infer(&self, request: Request<'_>, body: Body) -> Result<Told, Refusal> {
        let Request { place, headers, .. } = request;
        let (body, mut held) = body.into_parts();
        let _admitted = self.admit(place)?;
        let (name, version) = {
            let message = self.message(headers, &body, &mut held).await?;
            let named = request::named(&message)?;
            (named.model.to_owned(), named.version.map(str::to_owned))
        };
        held.shrink_to(body.len());
        let table = self.of_model(Some(&name))?;
        let way = self.way(&table, &choice(version.as_deref(), headers)?)?;
        self.pass(&table, way, request, version.is_some(), body).await
    }

    /// Has a model described by whoever serves it.
    async fn describe(&self, what: Description, request: Request<'_>, body: Body) -> Result<Told, Refusal> {
        let Request { place, headers, .. } = request;
        let (body, mut held) = body.into_parts();
        // All that describes a model names it by the same fields.
        let asked: ModelStatisticsRequest = {
            let message = self.message(headers, &body, &mut held).await?;
            frames::question(&message)?
        };
        held.shrink_to(body.len());
        // Statistics of no model are of the one that there is.
        let is_of_all = what == Description::Statistics && asked.name.is_empty();
        let table = self.of_model((!is_of_all).then_some(asked.name.as_str()))?;
        let version = given(&asked.version).filter(|_version| !is_of_all);
        let track = table
            .describing(&choice(version, headers)?, By::Grpc)
            .map_err(Failure::from)?;
        let _admitted = self.admit(place)?;
        let way = Way::describing(track);
        self.pass(&table, way, request, version.is_some(), body).await
    }

    async fn index(&self, place: &Arc<Place>, only_ready: bool) -> Result<Response, Failure> {
        let table = self.router.table()?;
        let entries = describe::entries(&table, By::Grpc);
        let entries = entries.filter(|entry| !only_ready || entry.state == "READY");
        let models = entries.map(|entry| ModelIndex {
            name: entry.name.to_owned(),
            version: entry.version.to_owned(),
            state: entry.state.to_owned(),
            reason: entry.reason.to_owned(),
        });
        let index = RepositoryIndexResponse {
            models: models.collect(),
        };
        reply::counted(frames::said(&index), &self.answers, place).await
    }
}

impl Server {
    /// Returns the message of a body, which stays as it came: it is passed on so. What is `held` counts for both.
    async fn message(&self, headers: &HeaderMap, body: &Bytes, held: &mut Held) -> Result<Bytes, Failure> {
        let coding = frames::framing(headers, body)?;
        let message = body.slice(frames::HEAD_BYTES..);
        match coding {
            None => Ok(message),
            Some(coding) => Ok(Box::pin(self.aside.inflate_beside(coding, message, held))
                .await?
                .into()),
        }
    }

    async fn pass(
        &self,
        table: &Table,
        way: Way,
        request: Request<'_>,
        is_versioned: bool,
        body: Bytes,
    ) -> Result<Told, Refusal> {
        let Request { place, path, .. } = request;
        let outgoing = Outgoing::call(path, self.passed(request), body, is_versioned);
        let answer = self.forward(table, way, &outgoing, place).await?;
        Ok(Told {
            code: answer.status,
            response: answer.into_call(place),
        })
    }
}
