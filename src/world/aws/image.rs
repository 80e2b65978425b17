//! Which image a pool's machines are made of.
//!
//! A name is looked up among its owner's images. A parameter of the Systems Manager is left to EC2, which takes
//! `resolve:ssm:PARAMETER` for an image in a launch and reads the parameter itself, with our rights
//! (`ssm:GetParameters`): another SDK, and another call that could disagree with the launch, would win nothing.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, ImageState};

use crate::model::settings::{Image, LaunchSettings};
use crate::world::aws::error::{cloud_error, refused};
use crate::world::cloud::CloudError;

const CALL: &str = "DescribeImages";

/// An image as a launch names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// An id, or `resolve:ssm:PARAMETER`.
    pub(super) id: String,
    /// Where the root disk is; `None`: nobody needs to know.
    pub(super) root_device: Option<String>,
}

/// Looks the image up where that is needed: for its id, or for the name of its root device.
pub(super) async fn resolve(client: &Client, settings: &LaunchSettings) -> Result<Resolved, CloudError> {
    let found = match settings.image() {
        Image::Parameter(parameter) => Resolved { id: format!("resolve:ssm:{parameter}"), root_device: None },
        Image::Name(pattern) => newest(client, pattern, &settings.ami_owner).await?,
        Image::Id(id) if settings.looks_image_up() => by_id(client, id).await?,
        Image::Id(id) => Resolved { id: id.to_owned(), root_device: None },
    };
    let root_device = settings.disk_device.clone().or(found.root_device);
    Ok(Resolved { root_device, ..found })
}

async fn newest(client: &Client, pattern: &str, owner: &str) -> Result<Resolved, CloudError> {
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let call = client.describe_images().owners(owner);
    let call = call.filters(filter("name", pattern)).filters(filter("state", ImageState::Available.as_str()));
    let mut pages = call.into_paginator().send();
    let mut newest: Option<aws_sdk_ec2::types::Image> = None;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| cloud_error(CALL, &error))?;
        // Dates are of one form, so that their letters are in the order of time.
        let order = |image: &aws_sdk_ec2::types::Image| {
            (image.creation_date().map(str::to_owned), image.image_id().map(str::to_owned))
        };
        newest = page.images.into_iter().flatten().chain(newest).max_by_key(order);
    }
    match newest.and_then(read) {
        Some(image) => Ok(image),
        None => {
            Err(refused(format!("{CALL}: no image of `{owner}` has a name like `{pattern}`: see ami and ami_owner")))
        }
    }
}

async fn by_id(client: &Client, id: &str) -> Result<Resolved, CloudError> {
    let answer = client.describe_images().image_ids(id).send().await;
    let answer = answer.map_err(|error| cloud_error(CALL, &error))?;
    let image = answer.images.into_iter().flatten().find_map(read);
    image.ok_or_else(|| refused(format!("{CALL}: there is no image `{id}`, or it is not ours to see")))
}

fn read(image: aws_sdk_ec2::types::Image) -> Option<Resolved> {
    Some(Resolved { id: image.image_id?, root_device: image.root_device_name })
}
