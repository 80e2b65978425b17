//! Whether the cluster lets us do what we do: it is asked, and nothing is done.

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;

use crate::world::cloud::{Answer, Right};
use crate::world::kubernetes::error::cloud_error;
use crate::world::kubernetes::site::Site;

/// The same rights as in [`cluster_role`](crate::world::cluster_role), each by its name.
const RIGHTS: [(&str, &str, &str, &str); 13] = [
    ("create jobs", "batch", "jobs", "create"),
    ("delete jobs", "batch", "jobs", "delete"),
    ("get jobs", "batch", "jobs", "get"),
    ("list jobs", "batch", "jobs", "list"),
    ("patch jobs", "batch", "jobs", "patch"),
    ("watch jobs", "batch", "jobs", "watch"),
    ("create secrets", "", "secrets", "create"),
    ("get secrets", "", "secrets", "get"),
    ("list pods", "", "pods", "list"),
    ("watch pods", "", "pods", "watch"),
    ("get pods/log", "", "pods/log", "get"),
    ("list events", "", "events", "list"),
    ("watch events", "", "events", "watch"),
];

pub(super) async fn rights(site: &Site) -> Vec<Right> {
    let api: Api<SelfSubjectAccessReview> = Api::all(site.client.clone());
    let ask = |(action, group, resource, verb): (&'static str, &str, &str, &str)| {
        let (resource, part) = resource.split_once('/').map_or((resource, None), |(of, part)| (of, Some(part)));
        let asked = ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: part.map(str::to_owned),
            verb: Some(verb.to_owned()),
            namespace: Some(site.namespace.clone()),
            ..ResourceAttributes::default()
        };
        let spec =
            SelfSubjectAccessReviewSpec { resource_attributes: Some(asked), ..SelfSubjectAccessReviewSpec::default() };
        let (api, namespace) = (api.clone(), site.namespace.clone());
        async move {
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            let answer = match api.create(&PostParams::default(), &review).await {
                Err(error) => Answer::Unclear(cloud_error("the access review", &error).message),
                Ok(review) => match review.status {
                    Some(status) if status.allowed => Answer::Granted,
                    status => Answer::Refused(
                        status
                            .and_then(|status| status.reason)
                            .unwrap_or_else(|| "no Role grants it: `tidegate policy` prints one".to_owned()),
                    ),
                },
            };
            Right { action, of: namespace, answer }
        }
    };
    join_all(RIGHTS.into_iter().map(ask)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::cluster_role::VERBS;

    #[test]
    fn every_right_of_the_role_is_tried() {
        let role: Vec<_> = VERBS
            .iter()
            .flat_map(|(group, resource, verbs)| verbs.iter().map(move |verb| (*group, *resource, *verb)))
            .collect();
        let tried: Vec<_> = RIGHTS.iter().map(|(_, group, resource, verb)| (*group, *resource, *verb)).collect();
        assert_eq!(tried, role);
        assert!(RIGHTS.iter().all(|(action, _, resource, verb)| *action == format!("{verb} {resource}")));
    }
}
