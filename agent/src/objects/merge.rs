//! From the texts of all files to the objects in force.

use std::collections::{BTreeMap, btree_map::Entry};

use stoq_crds::{Kind, Object, Refused, read_objects};

use super::{Fault, Files, Key, Objects, Problem};

/// The objects in force after `files` were read, when `previous` were before. The same files again
/// change nothing.
pub fn merge(previous: &Objects, files: &Files) -> Objects {
    let mut merge = Merge {
        previous,
        claims: BTreeMap::new(),
        problems: Vec::new(),
        opaque: BTreeMap::new(),
    };
    for (file, text) in files {
        match text {
            Err(reason) => merge.hide(file, Fault::Unreadable(reason.clone())),
            Ok(text) if text.trim().is_empty() => merge.hide(file, Fault::Empty),
            Ok(text) => merge.read(file, text),
        }
    }
    merge.finish()
}

struct Merge<'a> {
    previous: &'a Objects,
    /// The first document that names an object decides on it, well or badly.
    claims: BTreeMap<Key, Claim<'a>>,
    problems: Vec<Problem>,
    /// Files that may hold more objects than could be told, with the index of their first problem.
    opaque: BTreeMap<&'a str, usize>,
}

struct Claim<'a> {
    file: &'a str,
    object: Option<Object>,
}

impl<'a> Merge<'a> {
    fn read(&mut self, file: &'a str, text: &str) {
        for document in read_objects(text) {
            match document {
                Ok(object) => self.claim(file, key_of(&object), Some(object), None),
                Err(refused) => self.refuse(file, refused),
            }
        }
    }

    fn refuse(&mut self, file: &'a str, refused: Refused) {
        match refused.object.clone() {
            Some(key) => self.claim(file, key.clone(), self.previous.get(&key), Some(refused)),
            None => self.hide(file, Fault::Refused { refused }),
        }
    }

    fn claim(&mut self, file: &'a str, key: Key, object: Option<Object>, refused: Option<Refused>) {
        let (fault, in_force) = match self.claims.entry(key.clone()) {
            Entry::Occupied(taken) => {
                let first = taken.get().file.to_owned();
                (Some(Fault::Duplicate { object: key, first }), Vec::new())
            }
            Entry::Vacant(free) => {
                let kept = refused.is_some() && object.is_some();
                free.insert(Claim { file, object });
                let in_force = if kept { vec![key] } else { Vec::new() };
                (refused.map(|refused| Fault::Refused { refused }), in_force)
            }
        };
        let file = file.to_owned();
        self.problems.extend(fault.map(|fault| Problem {
            file,
            fault,
            in_force,
        }));
    }

    fn hide(&mut self, file: &'a str, fault: Fault) {
        self.opaque.entry(file).or_insert(self.problems.len());
        let file = file.to_owned();
        self.problems.push(Problem {
            file,
            fault,
            in_force: Vec::new(),
        });
    }

    fn finish(mut self) -> Objects {
        self.keep_hidden();
        let mut objects = Objects {
            problems: self.problems,
            ..Objects::default()
        };
        for (key, claim) in self.claims {
            match claim.object {
                Some(Object::Transport(one)) => objects.transports.push(*one),
                Some(Object::Pod(one)) => objects.pods.push(*one),
                None => continue,
            }
            objects.sources.insert(key, claim.file.to_owned());
        }
        objects
    }

    fn keep_hidden(&mut self) {
        for (key, source) in &self.previous.sources {
            let Some((file, problem)) = self.opaque.get_key_value(source.as_str()) else {
                continue;
            };
            if let Entry::Vacant(free) = self.claims.entry(key.clone()) {
                free.insert(Claim {
                    file,
                    object: self.previous.get(key),
                });
                self.problems[*problem].in_force.push(key.clone());
            }
        }
    }
}

fn key_of(object: &Object) -> Key {
    match object {
        Object::Transport(one) => (Kind::Transport, one.name.clone()),
        Object::Pod(one) => (Kind::Pod, one.name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(name: &str, port: u16) -> String {
        format!(
            "---\napiVersion: stoq.io/v1alpha1\nkind: StoqTransport\nmetadata: {{name: {name}}}\n\
             spec: {{podSelector: {{}}, ports: [{{port: {port}}}]}}\n"
        )
    }

    fn pod(name: &str, ip: &str) -> String {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nstatus: {{podIP: {ip}}}\n"
        )
    }

    fn files<const N: usize>(entries: [(&str, &str); N]) -> Files {
        entries
            .into_iter()
            .map(|(file, text)| (file.to_owned(), Ok(text.to_owned())))
            .collect()
    }

    /// `name:port` of each transport, name of each pod.
    fn in_force(objects: &Objects) -> Vec<String> {
        let transports = objects.transports.iter();
        let transports = transports.map(|one| format!("{}:{}", one.name.name, one.ports[0].number));
        transports
            .chain(objects.pods.iter().map(|one| one.name.name.clone()))
            .collect()
    }

    fn problems(objects: &Objects) -> Vec<String> {
        objects.problems.iter().map(Problem::to_string).collect()
    }

    const BROKEN: &str = "---\nkind: [\n";
    const FOREIGN: &str = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";

    #[test]
    fn objects_of_all_files_and_documents_are_in_force() {
        let both = transport("edge", 1) + &pod("edge-0", "10.0.0.1");
        let read = merge(
            &Objects::default(),
            &files([("a.yaml", &both), ("b.yaml", &transport("web", 2))]),
        );
        assert_eq!(in_force(&read), ["edge:1", "web:2", "edge-0"]);
        assert!(read.problems.is_empty());
    }

    /// What happens, text of `a.yaml` before, files after, objects in force.
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

    #[test]
    fn each_change_leaves_the_right_objects_in_force() {
        let (old, new) = (transport("edge", 1), transport("edge", 2));
        let (bad, web) = (transport("edge", 0), transport("web", 9));
        let with_web = old.clone() + &web;
        let table: [Case<'_>; 12] = [
            ("changed", &old, &[("a.yaml", &new)], &["edge:2"]),
            ("removed", &old, &[], &[]),
            (
                "moved to another file",
                &old,
                &[("b.yaml", &new)],
                &["edge:2"],
            ),
            ("refused", &old, &[("a.yaml", &bad)], &["edge:1"]),
            (
                "refused beside a good one",
                &with_web,
                &[("a.yaml", &(bad.clone() + &web))],
                &["edge:1", "web:9"],
            ),
            (
                "no YAML",
                &with_web,
                &[("a.yaml", BROKEN)],
                &["edge:1", "web:9"],
            ),
            (
                "no YAML beside a good one",
                &with_web,
                &[("a.yaml", &(BROKEN.to_owned() + &new))],
                &["edge:2", "web:9"],
            ),
            (
                "no YAML, but moved",
                &old,
                &[("a.yaml", BROKEN), ("b.yaml", &new)],
                &["edge:2"],
            ),
            ("no YAML in another file", &old, &[("b.yaml", BROKEN)], &[]),
            ("empty", &old, &[("a.yaml", " \n")], &["edge:1"]),
            ("only a comment", &old, &[("a.yaml", "# none\n")], &[]),
            (
                "dropped from its file",
                &with_web,
                &[("a.yaml", &web)],
                &["web:9"],
            ),
        ];
        for (what, before, after, expected) in table {
            let before = merge(&Objects::default(), &files([("a.yaml", before)]));
            let after = after
                .iter()
                .map(|(file, text)| ((*file).to_owned(), Ok((*text).to_owned())))
                .collect();
            let once = merge(&before, &after);
            assert_eq!(in_force(&once), expected, "{what}");
            assert_eq!(merge(&once, &after), once, "{what}, read again");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_keeps_its_objects_and_says_so() {
        let before = merge(
            &Objects::default(),
            &files([("a.yaml", &transport("edge", 1))]),
        );
        let files = [("a.yaml".to_owned(), Err("permission denied".to_owned()))].into();
        let after = merge(&before, &files);
        assert_eq!(in_force(&after), ["edge:1"]);
        assert_eq!(
            problems(&after),
            [
                "a.yaml: cannot be read: permission denied; last good state stays in force: StoqTransport default/edge"
            ]
        );
    }

    #[test]
    fn the_first_of_two_documents_with_one_object_counts() {
        let twice = files([
            ("b.yaml", &transport("edge", 2)),
            ("a.yaml", &transport("edge", 1)),
        ]);
        let read = merge(&Objects::default(), &twice);
        assert_eq!(in_force(&read), ["edge:1"]);
        assert_eq!(
            problems(&read),
            ["b.yaml: StoqTransport default/edge: is already in a.yaml, which counts"]
        );
        let same_file = transport("edge", 1) + &transport("edge", 2);
        let read = merge(&Objects::default(), &files([("a.yaml", &same_file)]));
        assert_eq!(
            (in_force(&read), read.problems.len()),
            (vec!["edge:1".to_owned()], 1)
        );
    }

    #[test]
    fn a_pod_and_a_transport_may_share_a_name() {
        let both = transport("edge", 1) + &pod("edge", "10.0.0.1");
        let read = merge(&Objects::default(), &files([("a.yaml", &both)]));
        assert_eq!((in_force(&read).len(), read.problems.len()), (2, 0));
    }

    #[test]
    fn a_refused_object_names_file_object_field_and_reason() {
        let before = merge(
            &Objects::default(),
            &files([("a.yaml", &pod("edge-0", "10.0.0.1"))]),
        );
        let after = merge(&before, &files([("a.yaml", &pod("edge-0", "10.0"))]));
        let [problem] = problems(&after).try_into().unwrap();
        for part in [
            "a.yaml: Pod default/edge-0: ",
            "status.podIP",
            "10.0",
            "stays in force: Pod default/edge-0",
        ] {
            assert!(problem.contains(part), "{part:?} is not in {problem:?}");
        }
        assert_eq!(after.pods, before.pods);
    }

    #[test]
    fn a_kind_that_is_not_read_is_refused_and_touches_nothing() {
        let read = merge(
            &Objects::default(),
            &files([("a.yaml", &(transport("edge", 1) + FOREIGN))]),
        );
        assert_eq!(
            (in_force(&read), read.problems.len()),
            (vec!["edge:1".to_owned()], 1)
        );
        assert!(problems(&read)[0].contains("ConfigMap"), "{read:?}");
    }

    #[test]
    fn an_object_that_was_never_good_is_not_in_force() {
        let read = merge(
            &Objects::default(),
            &files([("a.yaml", &transport("edge", 0))]),
        );
        assert!(read.transports.is_empty());
        assert!(read.problems[0].in_force.is_empty());
    }
}
