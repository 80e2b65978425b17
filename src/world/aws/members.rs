//! Members of a call that no builder of ours sets: put into the request as a person wrote them, before it is signed.
//! The settings were checked against the call's documented shape, and the wire's names are that shape's.

use std::collections::BTreeMap;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a form leaves as it is, beside letters and digits.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Adds the members, each behind `prefix`, to a request in EC2's query form.
pub(super) fn add(request: &mut HttpRequest, prefix: &str, members: &BTreeMap<String, String>) {
    if members.is_empty() {
        return;
    }
    let mut form = request.body().bytes().map(|body| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
    for (name, value) in members {
        form.extend(["&", prefix, name, "="]);
        form.extend(utf8_percent_encode(value, ESCAPED));
    }
    request.headers_mut().insert("content-length", form.len().to_string());
    *request.body_mut() = SdkBody::from(form);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_behind_what_was_there_and_are_escaped() {
        let mut request = HttpRequest::new(SdkBody::from("Action=RunInstances"));
        let members = [("Placement.GroupName", "a b&c=d"), ("EbsOptimized", "true")];
        let members = members.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        add(&mut request, "", &members);
        let expected = "Action=RunInstances&EbsOptimized=true&Placement.GroupName=a%20b%26c%3Dd";
        assert_eq!(request.body().bytes(), Some(expected.as_bytes()));
        assert_eq!(request.headers().get("content-length"), Some(expected.len().to_string().as_str()));
    }
}
