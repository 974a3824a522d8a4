// SPDX-License-Identifier: Apache-2.0

//! The times of a certificate (RFC 5280 §4.1.2.5).

use time::format_description::well_known::Rfc3339;
use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};
use x509_parser::asn1_rs::Tag;

use crate::certificate::der::Element;

/// A UTCTime or GeneralizedTime in RFC 3339 and UTC, `2026-01-31T23:59:59Z`, with the fraction of a second if there is
/// one.
///
/// RFC 5280 asks for seconds and `Z`. Like OpenSSL this also reads a time without seconds, with a fraction, or with an offset.
/// `None` if it is no time, or has no zone.
pub(super) fn rfc3339(time: &Element<'_>) -> Option<String> {
    let text = std::str::from_utf8(time.primitive()?).ok()?;
    let (year, text) = match time.universal()? {
        Tag::UtcTime => {
            let (year, text) = number(text, 2)?;
            // RFC 5280 §4.1.2.5.1.
            (year.checked_add(if year < 50 { 2000 } else { 1900 })?, text)
        }
        Tag::GeneralizedTime => number(text, 4)?,
        _ => return None,
    };
    let (month, text) = number(text, 2)?;
    let (day, text) = number(text, 2)?;
    let (hour, text) = number(text, 2)?;
    let (minute, text) = number(text, 2)?;
    let (second, text) = number(text, 2).unwrap_or((0, text));
    let (nanosecond, zone) = match text.strip_prefix('.') {
        Some(text) if time.is(Tag::GeneralizedTime) => fraction(text)?,
        _ => (0, text),
    };
    let byte = |number: u16| u8::try_from(number).ok();
    let month = Month::try_from(byte(month)?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, byte(day)?).ok()?;
    let of_day = Time::from_hms_nano(byte(hour)?, byte(minute)?, byte(second)?, nanosecond).ok()?;
    let local = PrimitiveDateTime::new(date, of_day).assume_offset(offset(zone)?);
    local.checked_to_offset(UtcOffset::UTC)?.format(&Rfc3339).ok()
}

/// The number in the first `digits` characters, and the text after them.
fn number(text: &str, digits: usize) -> Option<(u16, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    let only_digits = number.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| number.parse().ok().zip(Some(rest)))?
}

/// The nanoseconds in the digits of a fraction, cut off after the ninth, and the text after them.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (fraction, rest) = text.split_at_checked(digits).filter(|(fraction, _)| !fraction.is_empty())?;
    format!("{fraction:0<9}").get(..9)?.parse().ok().zip(Some(rest))
}

/// `Z`, or `+0130`.
fn offset(zone: &str) -> Option<UtcOffset> {
    if zone == "Z" {
        return Some(UtcOffset::UTC);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, rest) = number(digits, 2)?;
    let (minutes, "") = number(rest, 2)? else {
        return None;
    };
    let signed = |number: u16| i8::try_from(number).ok()?.checked_mul(sign);
    // No place is further than 14 hours from Greenwich, but OpenSSL reads up to 12:59; `from_hms` reads up to 25:59.
    UtcOffset::from_hms(signed(hours)?, signed(minutes)?, 0).ok()
}
