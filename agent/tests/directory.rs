//! A live directory of objects.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::symlink,
    path::Path,
    time::Duration,
};

use stoq_agent::objects::{Directory, Objects};
use tempfile::tempdir;

/// Longer than the slowest way to notice a change.
const DEADLINE: Duration = Duration::from_secs(20);

fn transport(name: &str, port: u16) -> String {
    format!(
        "---\napiVersion: stoq.io/v1alpha1\nkind: StoqTransport\nmetadata: {{name: {name}}}\n\
         spec: {{podSelector: {{}}, ports: [{{port: {port}}}]}}\n"
    )
}

/// `name:port` of each transport.
fn in_force(objects: &Objects) -> Vec<String> {
    let transports = objects.transports.iter();
    transports
        .map(|one| format!("{}:{}", one.name.name, one.ports[0].number))
        .collect()
}

async fn until(directory: &mut Directory, what: &str, wanted: impl Fn(&Objects) -> bool) {
    let waiting = async {
        while !wanted(&directory.objects()) {
            directory.changed().await.unwrap();
        }
    };
    let met = tokio::time::timeout(DEADLINE, waiting).await;
    assert!(met.is_ok(), "{what}: not so in {:#?}", directory.objects());
}

async fn until_in_force(directory: &mut Directory, expected: &[&str]) {
    until(directory, &format!("{expected:?}"), |objects| {
        in_force(objects) == expected
    })
    .await;
}

/// Replaces the file in one step.
fn replace(path: &Path, text: &str) {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text).unwrap();
    fs::rename(temporary, path).unwrap();
}

#[tokio::test]
async fn files_that_come_change_and_go_are_followed() {
    let place = tempdir().unwrap();
    let (a, b) = (place.path().join("a.yaml"), place.path().join("b.yml"));
    fs::write(&a, transport("edge", 1)).unwrap();
    let mut directory = Directory::open(place.path()).unwrap();
    assert_eq!(in_force(&directory.objects()), ["edge:1"]);
    fs::write(&b, transport("web", 2)).unwrap();
    until_in_force(&mut directory, &["edge:1", "web:2"]).await;
    replace(&a, &transport("edge", 3));
    until_in_force(&mut directory, &["edge:3", "web:2"]).await;
    fs::remove_file(&a).unwrap();
    until_in_force(&mut directory, &["web:2"]).await;
}

#[tokio::test]
async fn a_file_that_breaks_keeps_its_objects_until_it_is_mended() {
    let place = tempdir().unwrap();
    let a = place.path().join("a.yaml");
    fs::write(&a, transport("edge", 1)).unwrap();
    let mut directory = Directory::open(place.path()).unwrap();
    for broken in [transport("edge", 0), "kind: [".to_owned(), String::new()] {
        replace(&a, &broken);
        until(&mut directory, &broken, |objects| {
            !objects.problems.is_empty()
        })
        .await;
        assert_eq!(in_force(&directory.objects()), ["edge:1"]);
        replace(&a, &transport("edge", 1));
        until(&mut directory, "mended", |objects| {
            objects.problems.is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn a_mounted_config_map_is_followed_when_its_data_link_is_swapped() {
    let place = tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    for (version, port) in [("..1", 1), ("..2", 2)] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("edge.yaml"), transport("edge", port)).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/edge.yaml", at("edge.yaml")).unwrap();
    let mut directory = Directory::open(place.path()).unwrap();
    assert_eq!(in_force(&directory.objects()), ["edge:1"]);
    symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    until_in_force(&mut directory, &["edge:2"]).await;
}

#[tokio::test]
async fn a_directory_that_vanishes_keeps_its_objects_and_is_followed_when_it_returns() {
    let place = tempdir().unwrap();
    let path = place.path().join("objects");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("a.yaml"), transport("edge", 1)).unwrap();
    let mut directory = Directory::open(&path).unwrap();
    fs::rename(&path, place.path().join("away")).unwrap();
    until(&mut directory, "problem", |objects| {
        objects.problems.len() == 1
    })
    .await;
    assert_eq!(in_force(&directory.objects()), ["edge:1"]);
    fs::create_dir(&path).unwrap();
    until_in_force(&mut directory, &[]).await;
    assert!(directory.objects().problems.is_empty());
    fs::write(path.join("a.yaml"), transport("edge", 2)).unwrap();
    until_in_force(&mut directory, &["edge:2"]).await;
}

#[tokio::test]
async fn a_file_being_rewritten_does_not_lose_its_objects() {
    let place = tempdir().unwrap();
    let (a, b) = (place.path().join("a.yaml"), place.path().join("b.yaml"));
    fs::write(&a, transport("edge", 1)).unwrap();
    fs::write(&b, transport("web", 1)).unwrap();
    let mut directory = Directory::open(place.path()).unwrap();
    // Truncated, not written yet, and another change has the directory read.
    let mut half = File::create(&a).unwrap();
    replace(&b, &transport("web", 2));
    until(&mut directory, "web changed", |objects| {
        in_force(objects).contains(&"web:2".into())
    })
    .await;
    assert_eq!(in_force(&directory.objects()), ["edge:1", "web:2"]);
    half.write_all(transport("edge", 3).as_bytes()).unwrap();
    drop(half);
    until_in_force(&mut directory, &["edge:3", "web:2"]).await;
}

#[tokio::test]
async fn a_directory_that_is_not_there_at_the_start_is_an_error_that_names_it() {
    let place = tempdir().unwrap();
    let error = Directory::open(place.path().join("nowhere"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("nowhere: No such file or directory"),
        "{error}"
    );
}
