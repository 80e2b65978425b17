//! The fake's fleets, launch templates and spot requests.

use std::fmt::Write as _;

use axum::http::StatusCode;

use crate::ec2::fake::{Form, Machine, State, Twist, refusal, tags};

const OVERRIDES: &str = "LaunchTemplateConfigs.1.Overrides";

/// A type at a place, as a fleet call names it.
fn offers(form: &Form) -> Vec<(String, String)> {
    let offer = |number: usize| {
        let part = |name: &str| form.get(&format!("{OVERRIDES}.{number}.{name}")).cloned();
        Some((part("InstanceType")?, part("AvailabilityZone").or(part("SubnetId")).unwrap_or_default()))
    };
    (1..).map_while(offer).collect()
}

fn spoken_of(machine_type: &str, place: &str) -> String {
    let at = if place.starts_with("subnet-") {
        format!("<subnetId>{place}</subnetId>")
    } else {
        format!("<availabilityZone>{place}</availabilityZone>")
    };
    let overrides = format!("<overrides><instanceType>{machine_type}</instanceType>{at}</overrides>");
    format!("<launchTemplateAndOverrides>{overrides}</launchTemplateAndOverrides><lifecycle>spot</lifecycle>")
}

impl State {
    /// Chooses the last of what it may: not what is wanted most.
    pub(super) fn fleet(&mut self, form: &Form) -> (StatusCode, String) {
        self.fleets.push(form.clone());
        let name = &form["LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName"];
        let token = form["ClientToken"].clone();
        let twist = self.twists.pop_front();
        let mut errors = String::new();
        let mut chosen = None;
        for (machine_type, place) in offers(form) {
            let no = self.noes.iter().find(|(kind, at, _)| *kind == machine_type && *at == place);
            if let Some((.., code)) = no {
                let said = format!("<errorCode>{code}</errorCode><errorMessage>{code} it is</errorMessage>");
                write!(errors, "<item>{}{said}</item>", spoken_of(&machine_type, &place)).unwrap();
            } else {
                chosen = Some((machine_type, place));
            }
        }
        if self.late_template > 0 {
            self.late_template -= 1;
            return refusal(400, "InvalidLaunchTemplateName.NotFoundException", "there is no such template yet");
        }
        if !self.made.contains_key(&token) {
            let Some(template) = self.templates.get(name) else {
                return refusal(400, "InvalidLaunchTemplateName.NotFoundException", "there is no such template");
            };
            let made = chosen.map(|(machine_type, zone)| Machine {
                id: format!("i-{:017x}", self.machines()),
                index: 0,
                tags: tags(template, "LaunchTemplateData."),
                kind: machine_type,
                zone,
                request: format!("sir-{:08x}", self.machines()),
            });
            self.made.insert(token.clone(), made.into_iter().collect());
        }
        match twist {
            Some(Twist::Garbled) => return (StatusCode::INTERNAL_SERVER_ERROR, "<html>oops</html>".to_owned()),
            Some(Twist::Throttled) => return refusal(503, "RequestLimitExceeded", "Request limit exceeded."),
            _ => {}
        }
        let mut machines = String::new();
        for Machine { id, kind: machine_type, zone, .. } in &self.made[&token] {
            let told =
                format!("<instanceIds><item>{id}</item></instanceIds><instanceType>{machine_type}</instanceType>");
            write!(machines, "<item>{}{told}</item>", spoken_of(machine_type, zone)).unwrap();
        }
        let sets = format!("<fleetInstanceSet>{machines}</fleetInstanceSet><errorSet>{errors}</errorSet>");
        (StatusCode::OK, format!("<CreateFleetResponse><fleetId>fleet-1</fleetId>{sets}</CreateFleetResponse>"))
    }

    pub(super) fn make_template(&mut self, form: &Form) -> (StatusCode, String) {
        let name = &form["LaunchTemplateName"];
        self.templates_made.push(name.clone());
        if self.templates.insert(name.clone(), form.clone()).is_some() {
            return refusal(400, "InvalidLaunchTemplateName.AlreadyExistsException", "it is there");
        }
        let template = format!("<launchTemplate><launchTemplateName>{name}</launchTemplateName></launchTemplate>");
        (StatusCode::OK, format!("<CreateLaunchTemplateResponse>{template}</CreateLaunchTemplateResponse>"))
    }

    pub(super) fn delete_template(&mut self, form: &Form) -> (StatusCode, String) {
        let name = form.get("LaunchTemplateName").or_else(|| form.get("LaunchTemplateId")).unwrap();
        if self.template_stays {
            return refusal(503, "Unavailable", "not now");
        }
        if self.templates.remove(name.trim_start_matches("lt-")).is_none() {
            return refusal(400, "InvalidLaunchTemplateId.NotFound", "there is no such template");
        }
        (StatusCode::OK, "<DeleteLaunchTemplateResponse/>".to_owned())
    }

    /// A template's id is its name behind `lt-`.
    pub(super) fn describe_templates(&self) -> (StatusCode, String) {
        let mut items = String::new();
        for (name, form) in &self.templates {
            let fleet = &form["TagSpecification.1.Tag.1.Value"];
            let tags = format!("<tagSet><item><key>tidegate-fleet</key><value>{fleet}</value></item></tagSet>");
            write!(
                items,
                "<item><launchTemplateId>lt-{name}</launchTemplateId><launchTemplateName>{name}</launchTemplateName>{tags}</item>"
            )
            .unwrap();
        }
        let set = format!("<launchTemplates>{items}</launchTemplates>");
        (StatusCode::OK, format!("<DescribeLaunchTemplatesResponse>{set}</DescribeLaunchTemplatesResponse>"))
    }

    pub(super) fn terminate(&mut self, form: &Form) -> (StatusCode, String) {
        self.terminated.extend((1..).map_while(|number| form.get(&format!("InstanceId.{number}"))).cloned());
        (StatusCode::OK, "<TerminateInstancesResponse><instancesSet/></TerminateInstancesResponse>".to_owned())
    }

    /// A request is known while its machine is, or while it is open.
    pub(super) fn cancel_requests(&mut self, form: &Form) -> (StatusCode, String) {
        let ids: Vec<_> =
            (1..).map_while(|number| form.get(&format!("SpotInstanceRequestId.{number}")).cloned()).collect();
        let is_known = |id: &String| {
            let of_machine = self.made.values().flatten().any(|machine| machine.request == *id);
            (of_machine || self.open_requests.contains_key(id)) && !self.cancelled.contains(id)
        };
        if !ids.iter().all(is_known) {
            return refusal(400, "InvalidSpotInstanceRequestID.NotFound", "there is no such request");
        }
        self.open_requests.retain(|id, _| !ids.contains(id));
        self.cancelled.extend(ids);
        (StatusCode::OK, "<CancelSpotInstanceRequestsResponse/>".to_owned())
    }

    pub(super) fn describe_requests(&self) -> (StatusCode, String) {
        let mut items = String::new();
        for (id, fleet) in &self.open_requests {
            let tags = format!("<tagSet><item><key>tidegate-fleet</key><value>{fleet}</value></item></tagSet>");
            write!(items, "<item><spotInstanceRequestId>{id}</spotInstanceRequestId><state>open</state>{tags}</item>")
                .unwrap();
        }
        let set = format!("<spotInstanceRequestSet>{items}</spotInstanceRequestSet>");
        (StatusCode::OK, format!("<DescribeSpotInstanceRequestsResponse>{set}</DescribeSpotInstanceRequestsResponse>"))
    }
}
