//! Amounts of bytes as people write them: `512MiB`, `1.5GiB`, `800MB`, `500B`.

/// So many bytes, at least one and less than 10^15; `None` if it is no such amount.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an amount is more than nothing and far below 2^53"
)]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let amount = number.parse::<f64>().ok()? * factor;
    (1.0..1e15).contains(&amount).then_some(amount as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        assert_eq!(parse_bytes("512MiB"), Some(512 << 20));
        assert_eq!(parse_bytes(" 1.5 kB "), Some(1500));
        for bad in ["", "512", "MiB", "0B", "-1B", "1e3B", "1 Mib", "10000000GB", "1.2.3kB"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
    }
}
