//! A JSON Schema flows in, the rows of a table flow out: every field with its path, type
//! and meaning, so that nobody has to read schemas.

use serde_json::{Map, Value};

/// One field.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// As `jq` would write it, without the leading dot.
    pub path: String,
    /// What may stand there.
    pub kind: String,
    /// What it means.
    pub meaning: String,
}

/// The fields of a document.
pub fn rows(schema: &Value) -> Vec<Row> {
    let mut walk = Walk {
        definitions: schema.get("$defs").cloned().unwrap_or_default(),
        fields: Vec::new(),
    };
    walk.fields("", &walk.resolved(schema));
    walk.fields.into_iter().map(Field::row).collect()
}

/// A field, and what it means in which of its object's variants.
struct Field {
    path: String,
    kind: String,
    meanings: Vec<(Vec<Condition>, String)>,
}

/// What tells a variant from its neighbours: a field and its value.
#[derive(Clone, PartialEq)]
struct Condition {
    field: String,
    value: String,
}

impl Field {
    fn row(self) -> Row {
        let meanings = self.meanings.into_iter().map(|(conditions, meaning)| {
            let values: Vec<String> = conditions
                .iter()
                .map(|condition| format!("`{}`", condition.value))
                .collect();
            match conditions.first() {
                Some(first) => format!("If `{}` is {}: {meaning}", first.field, values.join(", ")),
                None => meaning,
            }
        });
        Row {
            path: self.path,
            kind: self.kind.replace('|', "\\|"),
            meaning: meanings.collect::<Vec<_>>().join(" ").replace('|', "\\|"),
        }
    }
}

struct Walk {
    definitions: Value,
    fields: Vec<Field>,
}

impl Walk {
    /// The schema itself, not a reference to it; its own words come first.
    fn resolved(&self, schema: &Value) -> Value {
        let Some(reference) = schema["$ref"].as_str() else {
            return schema.clone();
        };
        let name = reference.rsplit('/').next().unwrap_or_default();
        let mut found = self.resolved(&self.definitions[name]);
        if let (Some(own), Some(found)) = (schema.as_object(), found.as_object_mut()) {
            let words = own.iter().filter(|(key, _)| *key != "$ref");
            found.extend(words.map(|(key, value)| (key.clone(), value.clone())));
        }
        found
    }

    /// The alternatives of a schema but null, and whether null is one of them.
    fn alternatives(&self, schema: &Value) -> (Vec<Value>, bool) {
        let listed = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
        let Some(listed) = listed else {
            let types: Vec<&str> = schema["type"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            return (vec![schema.clone()], types.contains(&"null"));
        };
        let mut found = Vec::new();
        let mut nullable = false;
        for alternative in listed {
            if alternative["type"] == "null" {
                nullable = true;
            } else {
                let (inner, inner_null) = self.alternatives(&self.resolved(alternative));
                found.extend(inner);
                nullable |= inner_null;
            }
        }
        (found, nullable)
    }

    /// Adds a field and those below it; one that another variant has, too, once.
    fn field(&mut self, path: &str, schema: &Value, required: bool, condition: Option<&Condition>) {
        let schema = self.resolved(schema);
        let (alternatives, nullable) = self.alternatives(&schema);
        let mut kind = self.kinds_of(&alternatives);
        if nullable {
            kind += " or null";
        }
        if !required {
            kind += "; may be left out";
        }
        let meaning = schema["description"].as_str().unwrap_or_default();
        let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
        let conditions = condition.cloned().into_iter().collect();
        if let Some(known) = self.fields.iter_mut().find(|field| field.path == path) {
            let same = known
                .meanings
                .iter_mut()
                .find(|(_, words)| *words == meaning);
            match same {
                Some((known, _)) => known.extend(conditions),
                None => known.meanings.push((conditions, meaning)),
            }
            return;
        }
        self.fields.push(Field {
            path: path.to_owned(),
            kind,
            meanings: vec![(conditions, meaning)],
        });
        for alternative in &alternatives {
            self.below(path, alternative);
        }
    }

    /// The names of what these alternatives are, each once.
    fn kinds_of(&self, alternatives: &[Value]) -> String {
        let mut kinds: Vec<String> = Vec::new();
        for kind in alternatives
            .iter()
            .flat_map(|alternative| self.kinds(alternative))
        {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds.join(", ")
    }

    /// The names of what may stand there.
    fn kinds(&self, schema: &Value) -> Vec<String> {
        if let Some(only) = schema.get("const") {
            return vec![format!("`{only}`")];
        }
        if let Some(words) = schema["enum"].as_array() {
            return words.iter().map(|word| format!("`{word}`")).collect();
        }
        let types = match &schema["type"] {
            Value::String(one) => vec![one.as_str()],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => vec!["anything"],
        };
        let named = types.into_iter().filter(|name| *name != "null");
        named
            .map(|name| match name {
                "array" => {
                    let (items, _) = self.alternatives(&self.resolved(&schema["items"]));
                    format!("list of {}", self.kinds_of(&items))
                }
                "object" if is_duration(schema) => "duration".to_owned(),
                "object" if schema["properties"].is_null() => "map".to_owned(),
                name => name.to_owned(),
            })
            .collect()
    }

    /// Adds the rows of what is inside.
    fn below(&mut self, path: &str, schema: &Value) {
        self.fields(path, schema);
        for (inside, mark) in [("items", "[]"), ("additionalProperties", ".*")] {
            if schema[inside].is_object() {
                let (alternatives, _) = self.alternatives(&self.resolved(&schema[inside]));
                for alternative in alternatives {
                    self.below(&format!("{path}{mark}"), &alternative);
                }
            }
        }
    }

    fn fields(&mut self, path: &str, schema: &Value) {
        if is_duration(schema) {
            return;
        }
        let empty = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        let required: Vec<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let condition = properties.iter().find_map(|(name, value)| {
            Some(Condition {
                field: name.clone(),
                value: value.get("const")?.to_string(),
            })
        });
        for (name, value) in properties {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            if let Some(Condition { value, .. }) = condition
                .as_ref()
                .filter(|condition| condition.field == *name)
            {
                let value = format!("`{value}`");
                match self.fields.iter_mut().find(|field| field.path == path) {
                    Some(field) => field.kind = format!("{}, {value}", field.kind),
                    None => self.fields.push(Field {
                        path,
                        kind: value,
                        meanings: vec![(
                            Vec::new(),
                            "What it is; the other fields follow from it.".to_owned(),
                        )],
                    }),
                }
                continue;
            }
            let mut value = value.clone();
            // A variant that is named by its only field is described as a whole.
            if let (1, Some(words)) = (properties.len(), schema.get("description"))
                && schema["additionalProperties"] == false
                && let Some(value) = value.as_object_mut()
            {
                value.insert("description".to_owned(), words.clone());
            }
            let required = required.contains(&&**name);
            self.field(&path, &value, required, condition.as_ref());
        }
    }
}

/// A duration as serde writes it.
fn is_duration(schema: &Value) -> bool {
    schema["properties"].as_object().is_some_and(|properties| {
        properties.len() == 2
            && ["secs", "nanos"]
                .iter()
                .all(|part| properties.contains_key(*part))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_of_several_variants_is_one_row() {
        let variant = |kind: &str, words: &str| {
            json!({
                "type": "object",
                "properties": {
                    "kind": { "const": kind },
                    "seq": { "type": "integer", "description": words },
                },
                "required": ["kind", "seq"],
            })
        };
        let schema = json!({
            "properties": {
                "end": {
                    "description": "How.",
                    "oneOf": [variant("a", "One."), variant("b", "One."), variant("c", "Other.")],
                },
            },
            "required": ["end"],
        });
        let found = rows(&schema);
        let meanings: Vec<&str> = found.iter().map(|row| &*row.meaning).collect();
        assert_eq!(
            meanings,
            [
                "How.",
                "What it is; the other fields follow from it.",
                "If `kind` is `\"a\"`, `\"b\"`: One. If `kind` is `\"c\"`: Other.",
            ]
        );
        assert_eq!(found[1].kind, "`\"a\"`, `\"b\"`, `\"c\"`");
    }

    #[test]
    fn fields_are_listed_with_all_that_may_stand_there() {
        let schema = json!({
            "properties": {
                "plain": { "type": "number", "description": "A\nnumber." },
                "maybe": { "type": ["string", "null"], "description": "Words." },
                "list": { "type": "array", "items": { "$ref": "#/$defs/Thing" }, "description": "Things." },
                "map": {
                    "type": "object",
                    "additionalProperties": { "$ref": "#/$defs/Thing" },
                    "description": "By name.",
                },
            },
            "required": ["plain", "maybe", "list"],
            "$defs": {
                "Thing": {
                    "oneOf": [
                        { "const": "none", "type": "string" },
                        {
                            "description": "One.",
                            "type": "object",
                            "properties": { "one": { "type": "integer" } },
                            "required": ["one"],
                            "additionalProperties": false,
                        },
                    ],
                },
            },
        });
        let found: Vec<(String, String, String)> = rows(&schema)
            .into_iter()
            .map(|row| (row.path, row.kind, row.meaning))
            .collect();
        let row = |path: &str, kind: &str, meaning: &str| {
            (path.to_owned(), kind.to_owned(), meaning.to_owned())
        };
        assert_eq!(
            found.into_iter().collect::<std::collections::BTreeSet<_>>(),
            [
                row("plain", "number", "A number."),
                row("maybe", "string or null", "Words."),
                row("list", "list of `\"none\"`, object", "Things."),
                row("list[].one", "integer", "One."),
                row("map", "map; may be left out", "By name."),
                row("map.*.one", "integer", "One."),
            ]
            .into()
        );
    }
}
