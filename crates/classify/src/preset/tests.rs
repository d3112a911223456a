//! Every preset as a table: what is listed settles as listed, and what is not is on the safe side.

use http::Method;
use sluicegate_core::{Access, PresetName};

use super::{
    ByPreset, Preset, Told,
    file::{self, File, Line},
};
use crate::input::{PathPattern, Segment};

const READ: Told = Told::Is(Access::Read);
const WRITE: Told = Told::Is(Access::Write);
const BY_BODY: Told = Told::ByBody { kept: false };
const KEPT: Told = Told::ByBody { kept: true };

/// Each preset with the lines of its file.
fn all() -> impl Iterator<Item = (PresetName, std::sync::Arc<Preset>, Vec<Line>)> {
    PresetName::ALL.into_iter().map(|name| {
        let preset = Preset::known(name).unwrap_or_else(|fault| panic!("{}: {fault}", name.as_str()));
        (name, preset, File::read(file::text(name)).unwrap().routes)
    })
}

fn listed(line: &Line) -> impl Iterator<Item = (&Method, Told)> {
    let read = line.read.iter().map(|it| (&it.0, READ));
    let write = line.write.iter().map(|it| (&it.0, WRITE));
    let body = line.body.iter().map(|it| (&it.0, BY_BODY));
    read.chain(write).chain(body).chain(line.kept.iter().map(|it| (&it.0, KEPT)))
}

fn rooted(segments: impl IntoIterator<Item = String>) -> String {
    segments.into_iter().flat_map(|segment| ["/".to_owned(), segment]).collect()
}

/// A path of that pattern.
fn path_of(pattern: &PathPattern) -> String {
    let segments = pattern.segments().iter().enumerate().map(|(at, segment)| match segment {
        Segment::Literal(text) => text.clone(),
        Segment::Any => format!("x{at}"),
    });
    let mut path = rooted(segments);
    if pattern.has_rest() {
        path.push_str("/any/thing");
    }
    path
}

#[test]
fn every_listed_route_settles_as_listed() {
    for (name, preset, lines) in all() {
        for line in &lines {
            let path = path_of(&line.path);
            for (method, told) in listed(line) {
                assert_eq!(preset.settle(method, &path), told, "{} {method} {path}", name.as_str());
                let slash = if path.ends_with('/') { path.clone() } else { format!("{path}/") };
                assert_eq!(preset.settle(method, &slash), told, "{} {method} {slash}", name.as_str());
            }
            let methods: Vec<_> = listed(line).map(|(method, _)| method).collect();
            for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                if !methods.contains(&&method) {
                    assert_eq!(preset.settle(&method, &path), WRITE, "{} {method} {path}", name.as_str());
                }
            }
            let told = |method| listed(line).find(|(it, _)| **it == method).map(|(_, told)| told);
            for method in [Method::OPTIONS, Method::TRACE] {
                let listed = told(method.clone()).unwrap_or(READ);
                assert_eq!(preset.settle(&method, &path), listed, "{} {method} {path}", name.as_str());
            }
            let (get, head) = (told(Method::GET).unwrap_or(READ), told(Method::HEAD));
            assert_eq!(preset.settle(&Method::HEAD, &path), head.unwrap_or(get), "{} {path}", name.as_str());
        }
    }
}

#[test]
fn what_is_not_listed_reads_only_by_a_safe_method() {
    for (name, preset, _) in all() {
        if name == PresetName::Mcp {
            continue;
        }
        for path in ["/", "/never/heard/of/this/path", "/v9/x", "/a.B/C"] {
            assert_eq!(preset.settle(&Method::GET, path), READ, "{} {path}", name.as_str());
            for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "post", "get"] {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                assert_eq!(preset.settle(&method, path), WRITE, "{} {method} {path}", name.as_str());
            }
        }
    }
}

/// Another spelling of a path is another path: none of them is a read by another's name.
#[test]
fn another_spelling_is_not_the_listed_route() {
    for (name, preset, lines) in all() {
        for line in &lines {
            let path = path_of(&line.path);
            for (method, _) in listed(line).filter(|(method, told)| !method.is_safe() && *told != WRITE) {
                let name = name.as_str();
                for other in [format!("{path};x"), format!("{path}%3Bx"), format!("/;{}", &path[1..])] {
                    assert_eq!(preset.settle(method, &other), WRITE, "{name} {method} {other}");
                }
                if name == "mcp" {
                    continue;
                }
                let upper = path.to_ascii_uppercase();
                for other in [upper, format!("{path}/x/y/z/w"), format!("/x/y/z{path}"), format!("{path}//")]
                {
                    assert_eq!(preset.settle(method, &other), WRITE, "{name} {method} {other}");
                }
            }
        }
    }
}

/// The path that both patterns match, if there is one.
fn common(one: &PathPattern, other: &PathPattern) -> Option<String> {
    if one.segments().len() != other.segments().len() || one.has_rest() || other.has_rest() {
        return None;
    }
    let segments = one.segments().iter().zip(other.segments()).map(|pair| match pair {
        (Segment::Literal(one), Segment::Literal(other)) => (one == other).then(|| one.clone()),
        (Segment::Literal(text), Segment::Any) | (Segment::Any, Segment::Literal(text)) => Some(text.clone()),
        (Segment::Any, Segment::Any) => Some("x".to_owned()),
    });
    let segments: Option<Vec<_>> = segments.collect();
    Some(rooted(segments?))
}

/// Which of two patterns the products' routers take: the one with a literal where they first
/// differ.
fn first<'a>(one: &'a Line, other: &'a Line) -> &'a Line {
    let mut pairs = one.path.segments().iter().zip(other.path.segments());
    match pairs.find(|(one, other)| one != other) {
        Some((Segment::Literal(_), _)) => one,
        _ => other,
    }
}

#[test]
fn patterns_do_not_contradict_each_other() {
    for (name, preset, lines) in all() {
        for (at, one) in lines.iter().enumerate() {
            for other in &lines[at + 1..] {
                let Some(path) = common(&one.path, &other.path) else { continue };
                for (method, told) in listed(one) {
                    let Some((_, others)) = listed(other).find(|(its, _)| *its == method) else { continue };
                    if told == others {
                        continue;
                    }
                    // One is plainly the narrower: a name in place of a parameter.
                    let narrower = one.path.covers(&other.path) || other.path.covers(&one.path);
                    // Elasticsearch lets nobody call an index `_doc`.
                    let reserved = name == PresetName::Elasticsearch && path.starts_with("/_");
                    assert!(
                        narrower || reserved,
                        "{}: {method} {} and {}",
                        name.as_str(),
                        one.path,
                        other.path
                    );
                    let taken = listed(first(one, other)).find(|(its, _)| *its == method).unwrap().1;
                    assert_eq!(preset.settle(method, &path), taken, "{} {method} {path}", name.as_str());
                }
            }
        }
    }
}

#[test]
fn a_parameter_is_tried_where_a_literal_leads_nowhere() {
    let preset = Preset::known(PresetName::Elasticsearch).unwrap();
    assert_eq!(preset.settle(&Method::POST, "/_cat/_search"), READ);
    assert_eq!(preset.settle(&Method::POST, "/_all/_search"), READ);
    assert_eq!(preset.settle(&Method::POST, "/_all/_delete_by_query"), WRITE);
}

#[test]
fn a_product_may_stand_below_a_path() {
    let by = ByPreset::new(Preset::known(PresetName::Weaviate).unwrap(), []).below("/vectors");
    assert_eq!(by.settle(&Method::POST, "/vectors/v1/graphql"), READ);
    assert_eq!(by.settle(&Method::POST, "/vectors/v1/objects"), WRITE);
    assert_eq!(by.settle(&Method::POST, "/vectors"), WRITE);
    assert_eq!(by.settle(&Method::POST, "/vectorsv1/graphql"), WRITE);
}

#[test]
fn what_matters_most_is_known() {
    let db = "/api/v2/tenants/t/databases/d/collections";
    let table: &[(PresetName, &str, &str, Told)] = &[
        (PresetName::Chroma, "POST", &format!("{db}/7/query"), READ),
        (PresetName::Chroma, "POST", &format!("{db}/7/get"), READ),
        (PresetName::Chroma, "GET", &format!("{db}/7/count"), READ),
        (PresetName::Chroma, "POST", &format!("{db}/7/add"), WRITE),
        (PresetName::Chroma, "POST", &format!("{db}/7/upsert"), WRITE),
        (PresetName::Chroma, "POST", &format!("{db}/7/update"), WRITE),
        (PresetName::Chroma, "POST", &format!("{db}/7/delete"), WRITE),
        (PresetName::Chroma, "POST", db, WRITE),
        (PresetName::Qdrant, "POST", "/collections/c/points/query", READ),
        (PresetName::Qdrant, "POST", "/collections/c/points/search", READ),
        (PresetName::Qdrant, "POST", "/collections/c/points", READ),
        (PresetName::Qdrant, "PUT", "/collections/c/points", WRITE),
        (PresetName::Qdrant, "POST", "/collections/c/points/delete", WRITE),
        (PresetName::Qdrant, "POST", "/qdrant.Points/Search", READ),
        (PresetName::Qdrant, "POST", "/qdrant.Points/Upsert", WRITE),
        (PresetName::Qdrant, "POST", "/qdrant.PointsInternal/Search", WRITE),
        (PresetName::Weaviate, "POST", "/v1/graphql", READ),
        (PresetName::Weaviate, "POST", "/v1/objects", WRITE),
        (PresetName::Weaviate, "POST", "/v1/batch/objects", WRITE),
        (PresetName::Weaviate, "POST", "/weaviate.v1.Weaviate/Search", READ),
        (PresetName::Weaviate, "POST", "/weaviate.v1.Weaviate/BatchObjects", WRITE),
        (PresetName::Elasticsearch, "GET", "/docs/_search", READ),
        (PresetName::Elasticsearch, "POST", "/docs/_search", READ),
        (PresetName::Elasticsearch, "POST", "/a,b,-c*/_search", READ),
        (PresetName::Elasticsearch, "POST", "/_msearch", READ),
        (PresetName::Elasticsearch, "POST", "/docs/_count", READ),
        (PresetName::Elasticsearch, "DELETE", "/_search/scroll", READ),
        (PresetName::Elasticsearch, "POST", "/docs/_pit", READ),
        (PresetName::Elasticsearch, "POST", "/_bulk", WRITE),
        (PresetName::Elasticsearch, "PUT", "/docs/_bulk", WRITE),
        (PresetName::Elasticsearch, "PUT", "/docs/_doc/1", WRITE),
        (PresetName::Elasticsearch, "GET", "/docs/_doc/1", READ),
        (PresetName::Elasticsearch, "POST", "/_reindex", WRITE),
        (PresetName::Elasticsearch, "POST", "/docs/_update_by_query", WRITE),
        (PresetName::Elasticsearch, "GET", "/docs/_refresh", WRITE),
        (PresetName::Elasticsearch, "HEAD", "/docs/_flush", WRITE),
        (PresetName::Elasticsearch, "GET", "/docs/_flush/synced", WRITE),
        (PresetName::Elasticsearch, "POST", "/_plugins/_sql", WRITE),
        (PresetName::Elasticsearch, "GET", "/_plugins/_sql", WRITE),
        (PresetName::Elasticsearch, "GET", "/_opendistro/_sql", WRITE),
        (PresetName::Elasticsearch, "POST", "/_snapshot/r/_analyze", WRITE),
        (PresetName::Milvus, "POST", "/v2/vectordb/entities/search", READ),
        (PresetName::Milvus, "POST", "/v2/vectordb/entities/upsert", WRITE),
        (PresetName::Milvus, "GET", "/management/datacoord/garbage_collection/pause", WRITE),
        (PresetName::Milvus, "OPTIONS", "/management/datacoord/garbage_collection/pause", WRITE),
        (PresetName::Milvus, "GET", "/expr", WRITE),
        (PresetName::Milvus, "OPTIONS", "/expr", WRITE),
        (PresetName::Milvus, "OPTIONS", "/v2/vectordb/entities/upsert", READ),
        (PresetName::Milvus, "POST", "/milvus.proto.milvus.MilvusService/HybridSearch", READ),
        (PresetName::Milvus, "POST", "/milvus.proto.milvus.MilvusService/Delete", WRITE),
        (PresetName::Openai, "POST", "/v1/embeddings", READ),
        (PresetName::Openai, "POST", "/v1/chat/completions", BY_BODY),
        (PresetName::Openai, "POST", "/v1/responses", KEPT),
        (PresetName::Openai, "POST", "/v1/vector_stores/v/search", READ),
        (PresetName::Openai, "POST", "/v1/files", WRITE),
        (PresetName::Openai, "POST", "/v1/batches", WRITE),
        (PresetName::Openai, "POST", "/v1/fine_tuning/jobs", WRITE),
        (PresetName::Mcp, "POST", "/mcp", BY_BODY),
        (PresetName::Mcp, "GET", "/any/where", READ),
        (PresetName::Mcp, "DELETE", "/mcp", READ),
        (PresetName::Mcp, "PUT", "/mcp", WRITE),
    ];
    for (name, method, path, told) in table {
        let preset = Preset::known(*name).unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(preset.settle(&method, path), *told, "{} {method} {path}", name.as_str());
    }
}

#[test]
fn a_file_says_what_it_was_read_from_and_is_whole() {
    for (name, preset, lines) in all() {
        let least = match name {
            PresetName::Mcp => 2,
            PresetName::Chroma => 30,
            PresetName::Weaviate => 70,
            PresetName::Qdrant => 110,
            PresetName::Openai => 200,
            PresetName::Milvus => 250,
            PresetName::Elasticsearch => 800,
        };
        assert!(lines.len() >= least, "{}: {} routes", name.as_str(), lines.len());
        assert!(!preset.product().is_empty() && !preset.version().is_empty());
        assert!(!preset.read_from().is_empty());
        let answers = preset.answers();
        let pointers = answers.ids.iter().chain(&answers.scores).chain(&answers.texts);
        assert!(pointers.clone().count() > 0 && pointers.clone().all(|it| it.starts_with('/')));
        assert_eq!(preset.is_json_rpc(), name == PresetName::Mcp);
    }
}

#[test]
fn a_slip_in_a_file_is_told() {
    let read = |routes: &str| {
        let text = format!("product: p\nversion: '1'\nread_from: here\nroutes:\n{routes}");
        Preset::read(&text).unwrap_err().to_string()
    };
    let twice = "  - { path: /a, read: [GET] }\n  - { path: /a, write: [GET] }\n";
    assert_eq!(read(twice), "GET /a is listed twice");
    assert!(read("  - { path: /a, body: [POST] }\n").contains("no rule for bodies"));
    assert!(read("  - { path: /a, kept: [POST] }\n").contains("no member of a body"));
    assert!(read("  - { path: a, read: [GET] }\n").contains("must begin with `/`"));
    assert!(read("  - { path: /a, reed: [GET] }\n").contains("reed"));
    assert!(read("  - { path: \"/a{*r}\", read: [GET] }\n").contains("is not a parameter"));
}
