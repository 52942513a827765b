//! Whether a program needs anything of the system that it runs on.

use anyhow::{Context as _, ensure};

/// Program header: names the interpreter, which is the dynamic linker.
const INTERPRETER: u32 = 3;
/// Program header: what the dynamic linker reads.
const DYNAMIC: u32 = 2;
/// Entry of it: a library.
const NEEDED: u64 = 1;

/// Refuses what is no 64-bit ELF program or needs a dynamic linker or a library.
pub fn ensure_static(bytes: &[u8]) -> anyhow::Result<()> {
    ensure!(bytes.starts_with(b"\x7fELF\x02\x01"), "no 64-bit, little-endian ELF program");
    let at = number(bytes, 0x20, 8)?;
    let (size, count) = (number(bytes, 0x36, 2)?, number(bytes, 0x38, 2)?);
    for nth in 0..count {
        let header = usize::try_from(at + nth * size)?;
        let kind = u32::try_from(number(bytes, header, 4)?)?;
        ensure!(kind != INTERPRETER, "it needs a dynamic linker");
        if kind == DYNAMIC {
            let (offset, length) = (number(bytes, header + 8, 8)?, number(bytes, header + 32, 8)?);
            for entry in (offset..offset + length).step_by(16) {
                let tag = number(bytes, usize::try_from(entry)?, 8)?;
                ensure!(tag != NEEDED, "it needs a shared library");
            }
        }
    }
    Ok(())
}

fn number(bytes: &[u8], at: usize, length: usize) -> anyhow::Result<u64> {
    let part = bytes.get(at..at + length).context("the ELF program is cut off")?;
    Ok(part.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of one header and, behind it, one dynamic entry.
    fn program(kind: u32, tag: u64) -> Vec<u8> {
        let mut bytes = vec![0; 0x40 + 56 + 16];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[0x20] = 0x40;
        bytes[0x36] = 56;
        bytes[0x38] = 1;
        bytes[0x40..0x44].copy_from_slice(&kind.to_le_bytes());
        bytes[0x48] = 0x40 + 56;
        bytes[0x60] = 16;
        bytes[0x78..0x80].copy_from_slice(&tag.to_le_bytes());
        bytes
    }

    #[test]
    fn what_needs_a_linker_or_a_library_is_refused() {
        assert!(ensure_static(&program(1, 0)).is_ok());
        // A position-independent static program has a dynamic part that needs nothing.
        assert!(ensure_static(&program(DYNAMIC, 30)).is_ok());
        assert!(ensure_static(&program(DYNAMIC, NEEDED)).is_err());
        assert!(ensure_static(&program(INTERPRETER, 0)).is_err());
        assert!(ensure_static(b"#!/bin/sh").is_err());
        assert!(ensure_static(&program(1, 0)[..0x50]).is_ok());
        assert!(ensure_static(&program(DYNAMIC, 0)[..0x50]).is_err());
    }

    #[test]
    fn this_test_is_not_static() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        if cfg!(target_env = "gnu") {
            assert!(ensure_static(&own).is_err());
        }
    }
}
