//! The monitoring mixin in `dashboards/`: rendered by jsonnet, with its knobs as they are or as they are told.

use std::path::{Path, PathBuf};

use jrsonnet_evaluator::manifest::JsonFormat;
use jrsonnet_evaluator::trace::PathResolver;
use jrsonnet_evaluator::{FileImportResolver, State};
use jrsonnet_stdlib::ContextInitializer;
use serde_json::{Map, Value};

use crate::root;

/// Folder of the mixin, below the root.
pub const MIXIN: &str = "dashboards";

/// Folder of what is rendered from it, below the root.
pub const RENDERED: &str = "dashboards/out";

/// Folder of the promtool tests of alerts and rules, below the root.
pub const TESTS: &str = "dashboards/tests";

/// The rendered files of the mixin: `alerts.yaml`, `rules.yaml`, `prometheus-rule.yaml` and one JSON file for each
/// dashboard. `knobs` are `KEY=VALUE` for the keys of `config.libsonnet`, `a.b` for a key inside another; a value is
/// JSON, or else text.
///
/// # Errors
///
/// What jsonnet says, and a knob that there is not.
pub fn render(knobs: &[&str]) -> Result<Vec<(PathBuf, String)>, String> {
    let knobs = overrides(knobs)?;
    files(&evaluate(&format!("(import 'render.jsonnet')({knobs})"))?, Path::new(""))
}

/// The promtool tests of alerts and rules as they are by default: their paths below [`TESTS`].
///
/// # Errors
///
/// What jsonnet says.
pub fn render_tests() -> Result<Vec<(PathBuf, String)>, String> {
    files(&evaluate("import 'tests/render.jsonnet'")?, Path::new(""))
}

/// What the YAML documents of a text are; a list when there are several.
///
/// # Errors
///
/// When it is not YAML.
pub fn parse_yaml(text: &str) -> Result<Value, String> {
    let literal = serde_json::to_string(text).map_err(|error| error.to_string())?;
    evaluate(&format!("std.parseYaml({literal})"))
}

fn files(rendered: &Value, folder: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let files = rendered.as_object().ok_or("the mixin does not render to files")?;
    files
        .iter()
        .map(|(name, text)| match text.as_str() {
            Some(text) => Ok((folder.join(name), text.to_owned())),
            None => Err(format!("{name} does not render to text")),
        })
        .collect()
}

/// The value of a jsonnet expression, evaluated in the folder of the mixin.
fn evaluate(expression: &str) -> Result<Value, String> {
    let mut builder = State::builder();
    builder
        .import_resolver(FileImportResolver::new(vec![root().join(MIXIN)]))
        .context_initializer(ContextInitializer::new(PathResolver::FileName));
    let state = builder.build();
    let _entered = state.enter();
    let json = state
        .evaluate_snippet("<expression>", expression)
        .and_then(|value| value.manifest(JsonFormat::default()))
        .map_err(|error| format!("{MIXIN}: {error:?}"))?;
    serde_json::from_str(&json).map_err(|error| format!("{MIXIN}: {error}"))
}

/// The jsonnet object that is added to the mixin, of `KEY=VALUE` each.
fn overrides(knobs: &[&str]) -> Result<String, String> {
    let known = evaluate("(import 'config.libsonnet')._config")?;
    let mut objects = vec!["{}".to_owned()];
    for knob in knobs {
        let (key, value) = knob.split_once('=').ok_or_else(|| format!("`{knob}` is not KEY=VALUE"))?;
        let value: Value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        let pointer = format!("/{}", key.replace('.', "/"));
        if known.pointer(&pointer).is_none() {
            let keys: Vec<&str> =
                known.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
            return Err(format!(
                "there is no knob `{key}`; those of {MIXIN}/config.libsonnet are {}",
                keys.join(", ")
            ));
        }
        let object = key.rsplit('.').fold(value.to_string(), |inner, name| {
            let plus = if inner.starts_with('{') { "+" } else { "" };
            format!("{{ {name}{plus}: {inner} }}")
        });
        objects.push(format!("{{ _config+:: {object} }}"));
    }
    Ok(objects.join(" + "))
}
