//! What people do: each call is made once.

use crate::{
    ByteStream, EventStream, ModelStream, Result,
    http::{Client, with_query},
};
use domain::{ApprovalId, Cursor, JobId, ModelCallId, TokenId};
use protocol::{
    Approval, ApprovalPage, ArtifactPage, AskModels, AuditPage, AuditVerification, CancelJob, CheckContent,
    ContentCheck, CreateJob, CreateModelCall, CreateToken, CreatedToken, DecideApproval, Egress, EgressPage,
    EgressVerification, EventPage, ExplainRoute, FoundModelProfile, Health, Job, JobPage, KeyAccount, KeyPolicy,
    ListAll, ListApprovals, ListAudit, ListEvents, ListJobs, ListModelCalls, ModelCallPage, ModelCallRecord, Models,
    PutModelProfile, Route, RouteExplanation, Targets, TokenPage, VerifyReport, Version, WebSocketTicket,
};
use reqwest::{Method, RequestBuilder, Url, header};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Repeats of a request with the same key make one job.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

impl Client {
    pub async fn create_job(&self, job: &CreateJob, idempotency_key: Option<&str>) -> Result<Job> {
        let request = self.request(Method::POST, self.api(&["jobs"])).json(job);
        self.ask(keyed(request, idempotency_key)).await
    }

    pub async fn job(&self, id: JobId) -> Result<Job> {
        self.get(self.api(&["jobs", &id.to_string()])).await
    }

    pub async fn jobs(&self, list: &ListJobs) -> Result<JobPage> {
        self.get(with_query(self.api(&["jobs"]), list)?).await
    }

    pub async fn cancel_job(&self, id: JobId, cancel: &CancelJob) -> Result<Job> {
        self.ask(self.request(Method::POST, self.api(&["jobs", &id.to_string(), "cancel"])).json(cancel)).await
    }

    /// A new job with the same specification.
    pub async fn retry_job(&self, id: JobId, idempotency_key: Option<&str>) -> Result<Job> {
        let request = self.request(Method::POST, self.api(&["jobs", &id.to_string(), "retry"]));
        self.ask(keyed(request, idempotency_key)).await
    }

    pub async fn delete_job(&self, id: JobId) -> Result<()> {
        self.tell(self.request(Method::DELETE, self.api(&["jobs", &id.to_string()]))).await
    }

    /// One stretch of the log.
    pub async fn events_page(&self, id: JobId, list: &ListEvents) -> Result<EventPage> {
        let url = with_query(self.api(&["jobs", &id.to_string(), "events"]), list)?;
        let within = self.options.answer_timeout + Duration::from_millis(list.wait_ms.unwrap_or(0));
        Ok(self.json(self.request(Method::GET, url), within).await?)
    }

    /// The log after `after` (or all of it) and then as it grows, until `closed`.
    pub fn events(&self, id: JobId, after: Option<Cursor>) -> EventStream {
        EventStream::new(self.clone(), id, after)
    }

    pub async fn verify(&self, id: JobId) -> Result<VerifyReport> {
        self.get(self.api(&["jobs", &id.to_string(), "verify"])).await
    }

    pub async fn artifacts(&self, id: JobId, list: &ListAll) -> Result<ArtifactPage> {
        self.get(with_query(self.api(&["jobs", &id.to_string(), "artifacts"]), list)?).await
    }

    pub async fn artifact(&self, id: JobId, name: &str) -> Result<ByteStream> {
        self.download(self.api(&["jobs", &id.to_string(), "artifacts", name])).await
    }

    pub async fn approvals(&self, list: &ListApprovals) -> Result<ApprovalPage> {
        self.get(with_query(self.api(&["approvals"]), list)?).await
    }

    pub async fn decide(&self, id: ApprovalId, decision: &DecideApproval) -> Result<Approval> {
        self.ask(self.request(Method::POST, self.api(&["approvals", &id.to_string(), "decision"])).json(decision)).await
    }

    /// Of `local_only`, no provider in the cloud is asked.
    pub async fn models(&self, egress: Egress) -> Result<Models> {
        self.get(with_query(self.api(&["models"]), &AskModels { egress })?).await
    }

    /// What a model holds, in tokens, where that is known; of a route the target that comes first now. A token for models
    /// alone may ask it, in Ollama's words.
    pub async fn context_tokens(&self, model: &str) -> Result<Option<u64>> {
        let request = self.request(Method::POST, self.url(&["ollama", "api", "show"]));
        let shown: serde_json::Value = self.ask(request.json(&serde_json::json!({"model": model}))).await?;
        let held = shown["model_info"].as_object().into_iter().flatten();
        Ok(held.filter(|(name, _)| name.ends_with(".context_length")).find_map(|(_, tokens)| tokens.as_u64()))
    }

    /// Where a name leads for a request with this egress.
    pub async fn route(&self, name: &str, egress: Egress) -> Result<Route> {
        self.get(with_query(self.api(&["routes", name]), &AskModels { egress })?).await
    }

    /// Where a call would go now, and why, without making it.
    pub async fn explain_route(&self, name: &str, explain: &ExplainRoute) -> Result<RouteExplanation> {
        self.ask(self.request(Method::POST, self.api(&["routes", name, "explain"])).json(explain)).await
    }

    /// Breakers and queues.
    pub async fn targets(&self) -> Result<Targets> {
        self.get(self.api(&["targets"])).await
    }

    /// How to work with a model, and how that is known; of `local_only`, no provider in the cloud is asked.
    pub async fn model_profile(&self, model: &str, egress: Egress) -> Result<FoundModelProfile> {
        self.get(with_query(self.api(&["models", model, "profile"]), &AskModels { egress })?).await
    }

    /// Keeps what an exam found out about a model.
    pub async fn put_model_profile(
        &self,
        model: &str,
        egress: Egress,
        put: &PutModelProfile,
    ) -> Result<FoundModelProfile> {
        let url = with_query(self.api(&["models", model, "profile"]), &AskModels { egress })?;
        self.ask(self.request(Method::PUT, url).json(put)).await
    }

    /// Forgets what an exam found out about a model.
    pub async fn delete_model_profile(&self, model: &str, egress: Egress) -> Result<()> {
        let url = with_query(self.api(&["models", model, "profile"]), &AskModels { egress })?;
        self.tell(self.request(Method::DELETE, url)).await
    }

    /// Calls a model outside of a job. Dropping the stream stops it.
    pub async fn create_model_call(&self, call: &CreateModelCall) -> Result<ModelStream> {
        let request = self.request(Method::POST, self.api(&["model-calls"])).json(call);
        let response = self.send(request.header(header::ACCEPT, "text/event-stream"), self.options.silence).await?;
        Ok(ModelStream::new(self, response))
    }

    pub async fn model_calls(&self, list: &ListModelCalls) -> Result<ModelCallPage> {
        self.get(with_query(self.api(&["model-calls"]), list)?).await
    }

    pub async fn model_call_record(&self, id: ModelCallId) -> Result<ModelCallRecord> {
        self.get(self.api(&["model-calls", &id.to_string()])).await
    }

    /// What left for a cloud.
    pub async fn egress(&self, list: &ListAll) -> Result<EgressPage> {
        self.get(with_query(self.api(&["egress"]), list)?).await
    }

    pub async fn verify_egress(&self) -> Result<EgressVerification> {
        self.get(self.api(&["egress", "verify"])).await
    }

    /// Who did what.
    pub async fn audit(&self, list: &ListAudit) -> Result<AuditPage> {
        self.get(with_query(self.api(&["audit"]), list)?).await
    }

    pub async fn verify_audit(&self) -> Result<AuditVerification> {
        self.get(self.api(&["audit", "verify"])).await
    }

    /// What a token may do with models, and what it used.
    pub async fn key_account(&self, id: TokenId) -> Result<KeyAccount> {
        self.get(self.api(&["tokens", &id.to_string(), "policy"])).await
    }

    /// Replaces what a token may do with models.
    pub async fn put_key_policy(&self, id: TokenId, policy: &KeyPolicy) -> Result<KeyAccount> {
        self.ask(self.request(Method::PUT, self.api(&["tokens", &id.to_string(), "policy"])).json(policy)).await
    }

    pub async fn tokens(&self, list: &ListAll) -> Result<TokenPage> {
        self.get(with_query(self.api(&["tokens"]), list)?).await
    }

    pub async fn create_token(&self, token: &CreateToken) -> Result<CreatedToken> {
        self.ask(self.request(Method::POST, self.api(&["tokens"])).json(token)).await
    }

    pub async fn delete_token(&self, id: TokenId) -> Result<()> {
        self.tell(self.request(Method::DELETE, self.api(&["tokens", &id.to_string()]))).await
    }

    /// A tar archive of everything the backend keeps, consistent while it goes on working.
    pub async fn backup(&self) -> Result<ByteStream> {
        self.download(self.api(&["backup"])).await
    }

    /// A stretch of all content: what of it is missing or damaged.
    pub async fn check_content(&self, check: &CheckContent) -> Result<ContentCheck> {
        self.get(with_query(self.api(&["content", "check"]), check)?).await
    }

    /// Opens one WebSocket at `/api/v1/ws?ticket=…`, once and soon.
    pub async fn websocket_ticket(&self) -> Result<WebSocketTicket> {
        self.ask(self.request(Method::POST, self.api(&["websocket-tickets"]))).await
    }

    pub async fn version(&self) -> Result<Version> {
        self.get(self.url(&["version"])).await
    }

    /// Whether the process answers at all; needs no token.
    pub async fn health(&self) -> Result<Health> {
        self.get(self.url(&["healthz"])).await
    }

    /// Whether it can work; needs no token.
    pub async fn ready(&self) -> Result<Health> {
        self.get(self.url(&["readyz"])).await
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T> {
        self.ask(self.request(Method::GET, url)).await
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        Ok(self.json(request, self.options.answer_timeout).await?)
    }

    async fn tell(&self, request: RequestBuilder) -> Result<()> {
        Ok(self.empty(request, self.options.answer_timeout).await?)
    }

    async fn download(&self, url: Url) -> Result<ByteStream> {
        let response = self.send(self.request(Method::GET, url), self.options.silence).await?;
        Ok(self.stream(response))
    }
}

fn keyed(request: RequestBuilder, key: Option<&str>) -> RequestBuilder {
    match key {
        Some(key) => request.header(IDEMPOTENCY_KEY, key),
        None => request,
    }
}
