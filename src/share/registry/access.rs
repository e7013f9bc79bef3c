//! Proving who asks: Basic, or a token of the server that the registry names (the Docker registry's token specification).

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use reqwest::header;
use reqwest::{Method, Url};
use serde_json::Value;

use super::challenge::{self, Challenge};
use super::credentials::{self, Credentials, Secret};
use super::exchange::{Outgoing, Question, Reply};
use super::{Registry, RegistryError};
use crate::share::ShareError;
use crate::share::text::fit;
use crate::source::fetch::Authorization;
use crate::source::fetch::redirect::is_loopback;

/// The most bytes of a token server's answer.
const MAX_TOKEN: u64 = 1 << 20;

impl Registry<'_> {
    /// Returns what the registry knows us by so far.
    pub(super) fn authorization(&self) -> Option<Authorization> {
        let known = self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    /// Has tokens allow writing from now on: some registries answer 403, and not 401, to a token that is for reading alone.
    pub(super) fn begin_writing(&self) {
        if !self.writes.swap(true, Ordering::Relaxed) {
            let mut known = self
                .authorization
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *known = None;
        }
    }

    /// Returns the scope to ask a token for.
    fn scope(&self, asked: String) -> String {
        let reading = format!("repository:{}:pull", self.reference.repository);
        match self.writes.load(Ordering::Relaxed) && asked == reading {
            true => reading + ",push",
            false => asked,
        }
    }

    /// Returns where the credentials come from; `None` where there are none, or none were asked for.
    pub(super) fn credentials_from(&self) -> Option<String> {
        let found = self
            .credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        found.as_ref()?.as_ref().map(|found| found.from.clone())
    }

    /// Does what an answer of 401 asks for; `false` where that takes credentials and there are none.
    pub(super) fn authorize(&self, reply: &Reply) -> Result<bool, ShareError> {
        let mut challenges: Vec<Challenge> = reply
            .challenges()
            .into_iter()
            .flat_map(challenge::parse)
            .collect();
        // A cut-off redirect: whoever is behind it has no business with our credentials.
        if reply.url().origin() != self.base.origin() {
            return Ok(false);
        }
        let credentials = self.credentials()?;
        challenges.sort_by_key(|challenge| matches!(challenge, Challenge::Basic));
        let text = match challenges.into_iter().next() {
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }) => {
                let scope = scope.map(|scope| self.scope(scope));
                let token = self.token(
                    &realm,
                    service.as_deref(),
                    scope.as_deref(),
                    credentials.as_ref(),
                )?;
                Some(format!("Bearer {token}"))
            }
            Some(Challenge::Basic) => credentials.as_ref().and_then(|found| found.secret.basic()),
            None => {
                let problem = "names no way to give them that mkimg knows (Basic, Bearer)";
                return Err(self.challenge(problem.to_owned()));
            }
        };
        let Some(text) = text else {
            return Ok(false);
        };
        let authorization = Authorization::new(&self.base, &text)
            .ok_or_else(|| self.challenge("what it wants cannot be sent in a header".to_owned()))?;
        let mut known = self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = Some(authorization);
        Ok(true)
    }

    /// Returns the credentials for the repository; looks for them once.
    fn credentials(&self) -> Result<Option<Credentials>, ShareError> {
        let mut slot = self
            .credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = &*slot {
            return Ok(found.clone());
        }
        let found = credentials::find(
            &self.options.credentials,
            &self.reference.registry,
            &self.reference.repository,
        )?;
        *slot = Some(found.clone());
        Ok(found)
    }

    fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
        credentials: Option<&Credentials>,
    ) -> Result<String, ShareError> {
        let shown = fit(realm);
        let mut url = Url::parse(realm)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| self.challenge(format!("its token server `{shown}` is no URL")))?;
        // What goes there is a password.
        let own = url.host_str() == self.base.host_str() && self.options.plain_http;
        if url.scheme() == "http" && (self.base.scheme() == "https" || !(own || is_loopback(&url)))
        {
            let problem = format!("its token server `{shown}` speaks plain http");
            return Err(self.challenge(problem));
        }
        let mut parameters: Vec<(&str, &str)> = Vec::new();
        parameters.extend(service.map(|service| ("service", service)));
        let identity = match credentials.map(|found| &found.secret) {
            Some(Secret::Identity(token)) => Some(token),
            _ => None,
        };
        let mut form = String::new();
        match identity {
            // OAuth 2, as the token specification has it: the long-lived token is exchanged for one of this scope.
            Some(token) => {
                parameters.extend(scope.map(|scope| ("scope", scope)));
                parameters.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "mkimg"),
                    ("refresh_token", token),
                ]);
                let mut query = url.clone();
                query.query_pairs_mut().clear().extend_pairs(&parameters);
                form = query.query().unwrap_or_default().to_owned();
            }
            None => {
                let scopes = scope.into_iter().flat_map(|scope| scope.split(' '));
                parameters.extend(scopes.map(|scope| ("scope", scope)));
                url.query_pairs_mut().extend_pairs(&parameters);
            }
        }
        let basic = credentials.and_then(|found| found.secret.basic());
        let authorization = basic.and_then(|text| Authorization::new(&url, &text));
        let posted = [(
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded".to_owned(),
        )];
        let question = Question {
            what: "get a token",
            method: if identity.is_some() {
                Method::POST
            } else {
                Method::GET
            },
            url: &url,
            headers: if identity.is_some() { &posted } else { &[] },
            body: match identity {
                Some(_) => Outgoing::Form(form.as_bytes()),
                None => Outgoing::Nothing,
            },
            limit: MAX_TOKEN,
            tries: self.options.fetch.tries,
        };
        let reply = self.patiently(&question, authorization.as_ref())?;
        let failed = |problem: String| {
            ShareError::from(RegistryError::Token {
                server: url.host_str().unwrap_or_default().to_owned(),
                registry: self.reference.registry.clone(),
                problem,
                said: reply.said(),
            })
        };
        if reply.status() != 200 {
            return Err(failed(format!("the answer is {}", reply.status_text())));
        }
        let value: Value = serde_json::from_slice(&reply.body)
            .map_err(|_| failed("the answer is no JSON".to_owned()))?;
        let token = ["token", "access_token"]
            .iter()
            .filter_map(|key| value[*key].as_str())
            .find(|token| !token.is_empty());
        token
            .map(str::to_owned)
            .ok_or_else(|| failed("the answer has no `token`".to_owned()))
    }

    fn challenge(&self, problem: String) -> ShareError {
        ShareError::from(RegistryError::Challenge {
            registry: self.reference.registry.clone(),
            problem,
        })
    }
}
