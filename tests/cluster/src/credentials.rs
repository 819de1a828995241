//! Certificates, keys and tokens of one cluster, as files.

use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::topology::{API_SERVICE, CONTROL_PLANE};

const API_NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// The files, in one directory, and who may call the API server with which token.
#[derive(Debug)]
pub(crate) struct Credentials {
    directory: PathBuf,
    users: Vec<User>,
}

#[derive(Debug)]
struct User {
    name: String,
    groups: &'static str,
    token: String,
}

impl Credentials {
    /// Makes all of them anew, for a cluster with these nodes.
    pub(crate) fn generate(directory: PathBuf, nodes: &[String]) -> Result<Self> {
        fs::create_dir_all(&directory)?;
        let mut credentials = Self {
            directory,
            users: Vec::new(),
        };
        credentials.certificates()?;
        credentials.tokens(nodes)?;
        Ok(credentials)
    }

    /// The path of one of the files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The text of one of the files.
    pub(crate) fn text(&self, name: &str) -> Result<String> {
        let path = self.file(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// The token of a user.
    pub(crate) fn token(&self, user: &str) -> Result<&str> {
        let mut users = self.users.iter();
        let user = users.find(|known| known.name == user).context("no user")?;
        Ok(&user.token)
    }

    fn certificates(&self) -> Result<()> {
        let authority = KeyPair::generate()?;
        let mut params = named("stoq-cluster", "")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        self.write("ca.crt", &params.self_signed(&authority)?.pem())?;
        let issuer = Issuer::new(params, authority);
        self.certificate("apiserver", api_server()?, &issuer)?;
        let kubelet_client = named("kube-apiserver-kubelet-client", "system:masters")?;
        self.certificate("kubelet-client", client(kubelet_client), &issuer)?;
        self.certificate("front-proxy", client(named("front-proxy", "")?), &issuer)?;
        let service_accounts = KeyPair::generate()?;
        self.write("sa.key", &service_accounts.serialize_pem())?;
        self.write("sa.pub", &service_accounts.public_key_pem())
    }

    fn certificate(
        &self,
        name: &str,
        params: CertificateParams,
        issuer: &Issuer<'_, KeyPair>,
    ) -> Result<()> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, issuer)?;
        self.write(&format!("{name}.crt"), &certificate.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())
    }

    fn tokens(&mut self, nodes: &[String]) -> Result<()> {
        self.user("admin".into(), "system:masters")?;
        for part in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
            self.user(format!("system:{part}"), "")?;
        }
        for node in nodes {
            self.user(format!("system:node:{node}"), "system:nodes")?;
        }
        let mut table = String::new();
        for User {
            name,
            groups,
            token,
        } in &self.users
        {
            writeln!(table, "{token},{name},{name},\"{groups}\"")?;
        }
        self.write("tokens.csv", &table)
    }

    fn user(&mut self, name: String, groups: &'static str) -> Result<()> {
        let token = token()?;
        self.users.push(User {
            name,
            groups,
            token,
        });
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.file(name);
        fs::write(&path, text).with_context(|| path.display().to_string())
    }
}

fn token() -> Result<String> {
    let mut bytes = [0u8; 16];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

fn named(name: &str, organisation: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if !organisation.is_empty() {
        let organisation_name = DnType::OrganizationName;
        params
            .distinguished_name
            .push(organisation_name, organisation);
    }
    Ok(params)
}

fn client(mut params: CertificateParams) -> CertificateParams {
    let usages = &mut params.extended_key_usages;
    usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    params
}

fn api_server() -> Result<CertificateParams> {
    let mut params = named("kube-apiserver", "")?;
    let names = API_NAMES.map(|name| Ok(SanType::DnsName(name.try_into()?)));
    params.subject_alt_names = names.into_iter().collect::<Result<_>>()?;
    for address in [Ipv4Addr::LOCALHOST, API_SERVICE, CONTROL_PLANE] {
        let address = SanType::IpAddress(IpAddr::V4(address));
        params.subject_alt_names.push(address);
    }
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
