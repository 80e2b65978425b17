//! Making an object. The API server may warn beside its answer: that fails nothing, and is heard.

use kube::api::{DynamicObject, PostParams};
use kube::client::Body;
use kube::core::{Request, Status};
use kube::{Error, Resource};
use serde_json::Value;

use crate::world::kubernetes::site::{Kind, Site};

/// How it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A field that is not known is left out, with a warning.
    Really,
    /// Nothing is made, and a field that is not known is refused: a typing error is named before it matters.
    OnTrial,
}

/// What was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) object: DynamicObject,
    /// What the API server warned of.
    pub(super) warnings: Vec<String>,
}

/// Makes it in the site's namespace.
pub(super) async fn post(site: &Site, kind: Kind, object: &Value, way: Way) -> Result<Made, Error> {
    let path = DynamicObject::url_path(&kind.resource("v1"), Some(&site.namespace));
    let params = PostParams { dry_run: way == Way::OnTrial, ..PostParams::default() };
    let body = serde_json::to_vec(object).map_err(Error::SerdeError)?;
    let mut request = Request::new(path).create(&params, body).map_err(Error::BuildRequest)?;
    let strict = format!("{}&fieldValidation=Strict", request.uri());
    if way == Way::OnTrial
        && let Ok(strict) = strict.parse()
    {
        *request.uri_mut() = strict;
    }
    let answer = site.client.send(request.map(Body::from)).await?;
    let code = answer.status().as_u16();
    let headers = answer.headers().get_all("warning").iter();
    let warnings = headers.filter_map(|header| said(header.to_str().ok()?)).collect();
    let body = answer.into_body().collect_bytes().await?;
    if code < 400 {
        let object = serde_json::from_slice(&body).map_err(Error::SerdeError)?;
        return Ok(Made { object, warnings });
    }
    let unreadable = || {
        let text = String::from_utf8_lossy(&body).trim().to_owned();
        Status { code, message: text, ..Status::default() }
    };
    let status: Status = serde_json::from_slice(&body).unwrap_or_else(|_| unreadable());
    Err(Error::Api(status.boxed()))
}

/// The text of a warning: `299 - "unknown field \"spec.x\""`.
fn said(header: &str) -> Option<String> {
    let (_, rest) = header.split_once('"')?;
    let text = rest.rsplit_once('"').map_or(rest, |(text, _)| text);
    let text = text.replace("\\\"", "\"").replace("\\\\", "\\");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::kubernetes::recorded;

    #[test]
    fn a_recorded_warning_is_read() {
        let header = recorded("job/create_warn_unknown_field_201")["response"]["headers"]["warning"][0].clone();
        assert_eq!(said(header.as_str().unwrap()).as_deref(), Some("unknown field \"spec.template.spec.gpu\""));
        let header = recorded("job/create_warning_podsecurity_201")["response"]["headers"]["warning"].clone();
        let told = said(header.as_str().unwrap()).unwrap();
        assert!(told.starts_with("would violate PodSecurity \"restricted:latest\": allow"), "{told}");
        assert_eq!(said("299 - \"\""), None);
        assert_eq!(said("nothing"), None);
    }
}
