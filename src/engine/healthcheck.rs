//! Running a container's own health check, now.
//!
//! Docker has no call for it, so the check is run by exec, which is what Docker's own monitor
//! does. Podman has one (`/libpod/containers/NAME/healthcheck`).

use std::time::Duration;

use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use serde::Deserialize;

use super::api::{Api, Client};
use super::hello::Flavour;
use super::http::BODY_LIMIT;
use super::{EngineError, HealthCheck, TargetName, Verdict, plain};

/// What the engine needs beside the check itself to begin and end it.
const MARGIN: Duration = Duration::from_secs(5);

/// Of a check's output this much is kept.
const OUTPUT_LIMIT: usize = 4096;

pub(super) async fn run(
    api: &Api,
    name: &TargetName,
    check: &HealthCheck,
) -> Result<Verdict, EngineError> {
    let client = api.client().await?;
    let verdict = match client.hello.flavour {
        Flavour::Podman => libpod(api, name, check).await,
        Flavour::Docker => exec(api, &client, name, check).await,
    };
    match verdict {
        Err(error) => match error.forbidden() {
            Some(message) => Ok(Verdict::Forbidden(message)),
            None => Err(error),
        },
        verdict => verdict,
    }
}

async fn exec(
    api: &Api,
    client: &Client,
    name: &TargetName,
    check: &HealthCheck,
) -> Result<Verdict, EngineError> {
    let config = ExecConfig {
        cmd: Some(check.argv.clone()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    };
    let exec = api.look("exec", client.docker.create_exec(name.as_str(), config)).await?;
    let output = async {
        let mut text = Vec::new();
        if let StartExecResults::Attached { mut output, .. } =
            client.docker.start_exec(&exec.id, None).await?
        {
            while let Some(chunk) = output.next().await {
                let chunk = chunk?.into_bytes();
                let room = OUTPUT_LIMIT.saturating_sub(text.len());
                text.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    let output = match api.call("health check", check.timeout + MARGIN, output).await {
        Ok(output) => output,
        // The check hangs, or its program is missing: that is a verdict, not an engine's fault.
        Err(EngineError::Unavailable { .. }) => {
            return Ok(Verdict::Unhealthy("the check took too long".to_owned()));
        }
        Err(EngineError::Refused { status: 400 | 500, message }) => {
            return Ok(Verdict::Unhealthy(message));
        }
        Err(error) => return Err(error),
    };
    let end = api.look("exec", client.docker.inspect_exec(&exec.id)).await?;
    Ok(match end.exit_code {
        Some(0) => Verdict::Healthy,
        _ => Verdict::Unhealthy(plain(&output)),
    })
}

/// The part of `HealthCheckResults` that counts.
#[derive(Deserialize)]
struct Results {
    #[serde(rename = "Status")]
    status: String,
    #[serde(rename = "Log", default)]
    log: Option<Vec<Logged>>,
}

#[derive(Deserialize)]
struct Logged {
    #[serde(rename = "ExitCode", default)]
    exit_code: i64,
    #[serde(rename = "Output", default)]
    output: String,
}

async fn libpod(api: &Api, name: &TargetName, check: &HealthCheck) -> Result<Verdict, EngineError> {
    let path = format!("/v4.0.0/libpod/containers/{name}/healthcheck");
    let (status, body) = api.get(&path, BODY_LIMIT, check.timeout + MARGIN).await?;
    let text = || plain(&String::from_utf8_lossy(&body));
    match status {
        200 => {
            let results: Results = serde_json::from_slice(&body)
                .map_err(|error| EngineError::Garbled(error.to_string()))?;
            let last = results.log.unwrap_or_default().pop();
            // Within the start period one passing check makes it healthy, and a failing one
            // leaves it "starting".
            Ok(match last {
                Some(last) if last.exit_code == 0 && results.status != "unhealthy" => {
                    Verdict::Healthy
                }
                None if results.status == "healthy" => Verdict::Healthy,
                Some(last) => Verdict::Unhealthy(plain(&last.output)),
                None => Verdict::Unhealthy(plain(&results.status)),
            })
        }
        404 => Err(EngineError::Missing(text())),
        409 => Err(EngineError::Conflict(text())),
        _ => Err(EngineError::Refused { status, message: text() }),
    }
}
