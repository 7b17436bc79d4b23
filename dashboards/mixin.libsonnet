// Alerts, recording rules and dashboards of Quorumeter's metrics, in the shape of a monitoring mixin.
(import 'config.libsonnet')
+ (import 'alerts/alerts.libsonnet')
+ (import 'rules/rules.libsonnet')
+ (import 'dashboards/dashboards.libsonnet')
