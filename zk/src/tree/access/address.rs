//! Addresses in ACLs (`IPAuthenticationProvider`).

/// Whether an ACL may have it: an address, or an address and a number of bits.
pub(super) fn is_expression(expression: &str) -> bool {
    parse_expression(expression).is_some()
}

/// Whether the address `id` is in the net `expression`; not when one of them is not an address.
pub(super) fn matches(id: &str, expression: &str) -> bool {
    let (Some((mut net, bits)), Some(mut address)) = (parse_expression(expression), parse(id)) else {
        return false;
    };
    keep_bits(&mut net, bits);
    keep_bits(&mut address, bits);
    net == address
}

/// The address and the number of its bits that count, of `address` or `address/bits`.
fn parse_expression(expression: &str) -> Option<(Vec<u8>, usize)> {
    let (address, bits) = match expression.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (expression, None),
    };
    let address = parse(address)?;
    let all = address.len() * 8;
    let bits = match bits {
        None => all,
        Some(bits) => usize::try_from(bits.parse::<i32>().ok()?).ok().filter(|&bits| bits <= all)?,
    };
    Some((address, bits))
}

fn keep_bits(address: &mut [u8], bits: usize) {
    for (i, byte) in address.iter_mut().enumerate() {
        let kept = bits.saturating_sub(i * 8).min(8);
        *byte &= !(0xff_u16 >> kept) as u8;
    }
}

/// The bytes of an address as `IPAuthenticationProvider` reads it; no dotted quad inside IPv6.
fn parse(address: &str) -> Option<Vec<u8>> {
    if address.contains(':') {
        let segments = |part: &str| -> Option<Vec<u8>> {
            if part.is_empty() {
                return Some(Vec::new());
            }
            let mut bytes = Vec::new();
            for segment in part.split(':') {
                if segment.is_empty() || segment.len() > 4 {
                    return None;
                }
                bytes.extend_from_slice(&(i32::from_str_radix(segment, 16).ok()? as u16).to_be_bytes());
            }
            Some(bytes)
        };
        let mut parts = address.split("::");
        let (first, second, more) = (parts.next()?, parts.next(), parts.next());
        let mut bytes = segments(first)?;
        match (second, more) {
            (None, _) if !first.is_empty() && bytes.len() == 16 => {}
            (Some(second), None) => {
                let end = segments(second)?;
                if bytes.len() + end.len() >= 16 {
                    return None;
                }
                bytes.resize(16 - end.len(), 0);
                bytes.extend_from_slice(&end);
            }
            _ => return None,
        }
        Some(bytes)
    } else {
        let bytes: Option<Vec<u8>> = address
            .split('.')
            .map(|part| part.parse::<i32>().ok().and_then(|n| u8::try_from(n).ok()))
            .collect();
        bytes.filter(|bytes| bytes.len() == 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_match_by_their_leading_bits() {
        for (expression, matched) in [
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("127.0.0.2/31", false),
            ("127.0.0.3/30", true),
            ("0.0.0.0/0", true),
            ("128.0.0.0/1", false),
            ("::1", false),
        ] {
            assert_eq!(matches("127.0.0.1", expression), matched, "{expression}");
        }
        assert!(matches("fe80:0:0:0:0:0:12:1", "fe80::/16"));
        assert!(!matches("fe80:0:0:0:0:0:12:1", "fec0::/10"));
    }
}
