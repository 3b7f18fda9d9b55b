//! Certificates of the authorities that the environment names. They are read once, and refused if they cannot be used: the
//! TLS library would go on with those that it can read, and every call would fail at the next slot instead.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::domain::text::{LONGEST_TEXT, clean};

/// Names a file of certificates.
const FILE: &str = "SSL_CERT_FILE";
/// Names folders of files of certificates, separated by colons.
const FOLDERS: &str = "SSL_CERT_DIR";
/// Maximum size of a file, in bytes. All public authorities together have less than 1 MiB.
const LARGEST: u64 = 16 << 20;

/// The trusted authorities, in place of those of the host.
#[derive(Clone)]
pub struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    file: Option<PathBuf>,
    source: String,
}

/// A variable names no usable certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{variable} does not name certificates that can be used: {why}; name a file of PEM certificates, or remove the variable \
     for the authorities of this host"
)]
pub struct AuthoritiesError {
    variable: &'static str,
    why: String,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Authorities {
    /// The authorities that the variables name; `None` if neither is set. Pass `|name| std::env::var(name).ok()`.
    ///
    /// # Errors
    ///
    /// `AuthoritiesError` if a variable is set and names nothing that can be read, or no certificate.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, AuthoritiesError> {
        let (file, folders) = (variable(FILE), variable(FOLDERS));
        if file.is_none() && folders.is_none() {
            return Ok(None);
        }
        let mut found =
            Self { certificates: Vec::new(), file: file.as_ref().map(PathBuf::from), source: String::new() };
        let sources = [(FILE, file), (FOLDERS, folders)];
        for (variable, value) in sources.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))) {
            let refuse = |why: String| AuthoritiesError { variable, why: clean(&why, LONGEST_TEXT).into_owned() };
            let certificates = match variable {
                _ if value.trim().is_empty() => Err("it is empty".to_owned()),
                FILE => of_file(Path::new(value)),
                _ => of_folders(value),
            };
            found.certificates.extend(certificates.map_err(refuse)?);
            let separator = if found.source.is_empty() { "" } else { " and " };
            found.source.push_str(&format!("{separator}{variable}={value}"));
        }
        found.certificates.sort_unstable_by(|one, other| one[..].cmp(&other[..]));
        found.certificates.dedup();
        Ok(Some(found))
    }

    /// Where they are from: variables with their values.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The file of certificates, if one is named.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Their number.
    pub fn count(&self) -> usize {
        self.certificates.len()
    }

    /// Their certificates in DER.
    pub(super) fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.certificates.iter().map(AsRef::as_ref)
    }
}

/// The certificates of a file, all of which must be readable.
fn of_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let text = text(path).map_err(|error| format!("{shown}: {error}"))?;
    let mut certificates = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(&text).enumerate() {
        certificates.push(certificate.map_err(|_| format!("certificate {} of {shown} is damaged", index + 1))?);
    }
    let certificates = usable(certificates);
    if certificates.is_empty() { Err(format!("{shown} has no certificate in PEM")) } else { Ok(certificates) }
}

/// The certificates of all files of the folders. Files without any are skipped: folders of certificates have other files.
fn of_folders(value: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut certificates = Vec::new();
    for folder in std::env::split_paths(value).filter(|path| !path.as_os_str().is_empty()) {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for text in entries.filter_map(|entry| text(&entry.ok()?.path()).ok()) {
            certificates.extend(CertificateDer::pem_slice_iter(&text).filter_map(Result::ok));
        }
    }
    let certificates = usable(certificates);
    if certificates.is_empty() { Err(format!("{value} has no certificate in PEM")) } else { Ok(certificates) }
}

/// Certificates that can be an authority; bundles also have some that the TLS library does not read.
fn usable(mut certificates: Vec<CertificateDer<'static>>) -> Vec<CertificateDer<'static>> {
    certificates.retain(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok());
    certificates
}

fn text(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would be waited for.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An authority of elliptic curves, valid until 2126. Nobody has its key.
    const PEM: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBjjCCATWgAwIBAgIUTd1pMe/gp5L60EQ7+PxLU5qPqF0wCgYIKoZIzj0EAwIw\n\
HDEaMBgGA1UEAwwRRXhhbXBsZSBBdXRob3JpdHkwIBcNMjYxMTI4MDMzNTU3WhgP\n\
MjEyNjExMDQwMzM1NTdaMBwxGjAYBgNVBAMMEUV4YW1wbGUgQXV0aG9yaXR5MFkw\n\
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEv6jEvHsW46g+vQT4g76dDvXWYkjIatnq\n\
HpEb+ZqYenm5Y0gnxnlSgS6h5h+BGvGWz6pt21D8BkgUR9xhiltFPKNTMFEwHQYD\n\
VR0OBBYEFE59SYLi33EW2Jko50tBajld1MiqMB8GA1UdIwQYMBaAFE59SYLi33EW\n\
2Jko50tBajld1MiqMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIg\n\
f0VOnojQ9wr2yobNoXeqKbrPAV23y+TlGOeFCfv1D7YCIG7+/Zjjz2/xO1YpPmv0\n\
xqWy7DXYMKBz1qIZ7twfxBKl\n\
-----END CERTIFICATE-----\n\
";

    fn read(variables: &[(&str, &Path)]) -> Result<Option<Authorities>, String> {
        let value =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, path)| path.display().to_string());
        Authorities::read(value).map_err(|error| error.to_string())
    }

    #[test]
    fn files_and_folders_are_read_once_and_together() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("private.pem");
        fs::write(&file, format!("A comment.\n{PEM}{PEM}")).unwrap();
        fs::write(folder.path().join("README"), b"\xff no certificate").unwrap();
        assert!(read(&[]).unwrap().is_none());
        for variables in
            [&[(FILE, file.as_path())][..], &[(FOLDERS, folder.path())], &[(FILE, &file), (FOLDERS, folder.path())]]
        {
            let found = read(variables).unwrap().unwrap();
            assert_eq!(found.count(), 1, "{}", found.source());
            assert!(variables.iter().all(|(name, _)| found.source().contains(name)));
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let empty = folder.path().join("none");
        fs::create_dir(&empty).unwrap();
        let damaged = PEM.replace("MII", "!!!");
        for (variable, path, why) in [
            (FILE, PathBuf::new(), "it is empty"),
            (FILE, folder.path().join("a\u{1b}[2J"), r"a\u{1b}[2J: No such file"),
            (FILE, folder.path().to_owned(), "it is no regular file"),
            (FILE, PathBuf::from("/dev/zero"), "it is no regular file"),
            (FILE, file("empty", b""), "has no certificate"),
            (FILE, file("text", b"PEM\n"), "has no certificate"),
            (FILE, file("bytes", &[0xff, 0, 0x1b]), "has no certificate"),
            (FILE, file("damaged", format!("{PEM}{damaged}").as_bytes()), "certificate 2 of"),
            (
                FILE,
                file("other", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                "has no certificate",
            ),
            (FILE, file("large", &vec![b'\n'; usize::try_from(LARGEST).unwrap() + 1]), "larger than 16 MiB"),
            (FOLDERS, PathBuf::from("/no/such"), "No such file"),
            (FOLDERS, empty, "has no certificate"),
            (FOLDERS, PathBuf::from(":"), "has no certificate"),
        ] {
            let error = read(&[(variable, &path)]).unwrap_err();
            assert!(error.starts_with(variable) && error.contains(why), "{why}: {error}");
            let good = file("good", PEM.as_bytes());
            let other = if variable == FILE { (FOLDERS, folder.path()) } else { (FILE, good.as_path()) };
            assert!(
                read(&[(variable, &path), other]).is_err(),
                "{why}: one good variable does not make up for another"
            );
        }
    }
}
