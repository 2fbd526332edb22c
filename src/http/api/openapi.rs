//! The description of the API. Statuses and codes come from [`Code`], so what is not described cannot be answered.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::code::Code;
use crate::config::HttpConfig;

/// Which errors each path can answer, beside those of all paths.
const OF_ALL: &[Code] = &[Code::MethodNotAllowed];
const OF_NONE: &[Code] = &[Code::NotFound];

/// OpenAPI 3.1.
pub fn describe(config: &HttpConfig) -> Value {
    let of_firing: Vec<Code> = Code::ALL
        .iter()
        .copied()
        .filter(|c| !OF_ALL.contains(c) && !OF_NONE.contains(c))
        .collect();
    let mut firing = errors(&of_firing);
    firing.insert(
        "202".into(),
        json!({
            "description": "Accepted: the events are committed, and are evaluated next. Whether anybody is told is decided by the trigger's rules.",
            "headers": {"Idempotency-Replayed": {"description": "true: the same call was answered before, and nothing was fired again", "schema": {"type": "string", "enum": ["true"]}}},
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Accepted"}}}
        }),
    );
    let described = json!({"description": "This description", "content": {"application/json": {"schema": {"type": "object"}}}});
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sicantik-notifyd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Fires triggers of type api: each record named is looked at by the trigger's rules as if it had changed, and who they name is told by \
                            WhatsApp. Where the office's daemon may not send (a copy, a standby that is not armed), calls work all the same and the messages wait.",
        },
        "security": [{"token": []}],
        "paths": {
            "/v1/triggers/{code}": {
                "post": {
                    "operationId": "fireTrigger",
                    "summary": "Fire a trigger for records",
                    "parameters": [
                        {"name": "code", "in": "path", "required": true, "description": "Code of the trigger",
                         "schema": {"type": "string", "pattern": "^[A-Za-z0-9_]+$", "maxLength": 200}},
                        {"name": "Idempotency-Key", "in": "header", "required": false,
                         "description": "The same key, trigger and body (byte for byte) within 24 hours fire once and get the same answer; with another trigger or body the key is refused",
                         "schema": {"type": "string", "minLength": 1, "maxLength": 255}}
                    ],
                    "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Firing"}}}},
                    "responses": firing
                }
            },
            "/v1/openapi.json": {
                "get": {
                    "operationId": "describe",
                    "summary": "This description",
                    "security": [],
                    "responses": {"200": described}
                }
            }
        },
        "x-errors-of-all-paths": errors(OF_ALL),
        "x-errors-of-other-paths": errors(OF_NONE),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "A token of `sicantik-notifyd token create`"}},
            "schemas": {
                "Firing": {
                    "type": "object",
                    "additionalProperties": false,
                    "oneOf": [{"required": ["ids"]}, {"required": ["domain"]}],
                    "properties": {
                        "model": {"type": "string", "description": "The trigger's model, such as sicantik.permit, to be sure of it"},
                        "ids": {"type": "array", "items": {"type": "integer", "format": "int64"}, "minItems": 1, "maxItems": config.api_max_records},
                        "domain": {"type": "string", "description": "An Odoo domain, for tokens that may use one", "example": "[('status', '=', 'active')]"},
                        "parameters": {"type": "object", "description": "What the rules' code finds in kwargs"}
                    }
                },
                "Accepted": {
                    "type": "object",
                    "required": ["run", "trigger", "events"],
                    "properties": {
                        "run": {"type": "string", "description": "The run, by which the office finds it (v_firing)"},
                        "trigger": {"type": "string"},
                        "events": {"type": "integer", "description": "Records that are looked at"}
                    }
                },
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {
                            "type": "object",
                            "required": ["code", "message", "hint"],
                            "properties": {
                                "code": {"type": "string", "enum": Code::ALL.iter().map(|c| c.as_str()).collect::<Vec<_>>()},
                                "message": {"type": "string"},
                                "hint": {"type": ["string", "null"]}
                            }
                        }
                    }
                }
            }
        }
    })
}

/// Responses by status, each with its codes.
fn errors(codes: &[Code]) -> Map<String, Value> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().push(*code);
    }
    let response = |codes: &[Code]| {
        let words: Vec<&str> = codes.iter().map(|c| c.as_str()).collect();
        let lines: Vec<String> = codes
            .iter()
            .map(|c| format!("{}: {}", c.as_str(), c.message()))
            .collect();
        let narrowed = json!({"properties": {"error": {"properties": {"code": {"enum": words}}}}});
        json!({
            "description": lines.join("; "),
            "content": {"application/json": {"schema": {"allOf": [{"$ref": "#/components/schemas/Error"}, narrowed]}}}
        })
    };
    by_status
        .iter()
        .map(|(status, codes)| (status.to_string(), response(codes)))
        .collect()
}
