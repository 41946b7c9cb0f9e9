//! The keys that say what sends requests to a service.

use super::{Key, REQUIRED, key};

pub(super) fn keys() -> Vec<Key> {
    vec![
        key(
            "service.NAME.balancer.kind",
            "`\"local\"` or `\"aws\"`",
            "required in `balancer`",
            "What sends requests to it: the balancer that comes with Deployinator, or target groups of an Elastic Load \
             Balancer. Without a `balancer` the service is headless.",
        ),
        key(
            "service.NAME.balancer.url",
            "`http://HOST:PORT`",
            "required for `\"local\"`",
            "Where the balancer's API is.",
        ),
        key(
            "service.NAME.balancer.group",
            "name",
            "`NAME`",
            "For `\"local\"`: the group of targets that it is one of.",
        ),
        key(
            "service.NAME.balancer.target_groups",
            "list of tables",
            "required for `\"aws\"`",
            "The target groups that the host is a target of, all of one region. It is in service when it is in all of them. \
             Whether it is registered by its instance id or its address is read from each group.",
        ),
        key(
            "service.NAME.balancer.target_groups[].arn",
            "ARN",
            REQUIRED,
            "`arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID`.",
        ),
        key(
            "service.NAME.balancer.target_groups[].port",
            "1 to 65535",
            "`port`",
            "Where requests go, if not to the service's own port. Further instances follow it, as they do there.",
        ),
    ]
}
