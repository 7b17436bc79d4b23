//! What makes a quorum.

use std::collections::{BTreeMap, BTreeSet};

use quorumeter_zk::four_letter::{AnswerError, check};

use super::position::take_not_serving;
use crate::parse_error::{ParseError, check_text};
use crate::sample::Sample;

/// Takes in the answer to `conf` (3.5 and later): whether a quorum is any majority of the voters. With `group.N` and
/// `weight.N` it is a majority by weight in a majority of the groups (`QuorumHierarchical`). A member that is alone tells
/// nothing of it.
///
/// # Errors
///
/// [`ParseError::Refused`] where the member may not answer it, and what is no answer to this word.
pub fn conf(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    check_text(answer)?;
    match check(answer) {
        Err(AnswerError::NotServing) => {
            take_not_serving(sample);
            return Ok(());
        }
        other => other?,
    }
    if !answer.lines().any(|line| line.starts_with("clientPort=")) {
        return Err(ParseError::Missing("clientPort"));
    }
    let Some((_, membership)) = answer.split_once("\nmembership:") else { return Ok(()) };
    // The last line: without it, lines of groups may be missing.
    if !membership.lines().any(|line| line.starts_with("version=")) {
        return Err(ParseError::Missing("version of its membership"));
    }
    sample.has_majorities = Some(is_majority(membership)?);
    Ok(())
}

/// Whether these lines make a quorum of any majority of the voters: without groups, or with a single one of all voters, each
/// of the same weight. Whoever else is in it weighs in what is to be exceeded, and never acknowledges.
fn is_majority(membership: &str) -> Result<bool, ParseError> {
    let mut voters = BTreeSet::new();
    let mut groups: Vec<BTreeSet<&str>> = Vec::new();
    let mut weights = BTreeMap::new();
    for (key, value) in membership.lines().filter_map(|line| line.split_once('=')) {
        match key.split_once('.') {
            Some(("server", id)) if !value.contains(":observer") => _ = voters.insert(id),
            Some(("group", _)) => groups.push(value.split(':').map(str::trim).collect()),
            Some(("weight", id)) => {
                let weight: i64 = value.trim().parse().map_err(|_| ParseError::value(key, value))?;
                weights.insert(id, weight);
            }
            _ => {}
        }
    }
    let weight = |id: &&str| weights.get(id).copied().unwrap_or(1);
    Ok(match &groups[..] {
        [] => true,
        [group] => {
            let of_voters: BTreeSet<i64> = voters.iter().map(weight).collect();
            let is_equal = of_voters.len() == 1 && of_voters.iter().all(|weight| *weight > 0);
            is_equal && voters.is_subset(group) && group.difference(&voters).all(|other| weight(other) == 0)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(membership: &str) -> Result<Option<bool>, ParseError> {
        let mut sample = Sample::default();
        let answer = format!("clientPort=2181\nserverId=1\n{membership}");
        conf(&mut sample, &answer).map(|()| sample.has_majorities)
    }

    #[test]
    fn a_quorum_is_a_majority_unless_groups_or_weights_say_otherwise() {
        let servers = "membership: \nserver.1=a:1:2:participant\nserver.2=b:1:2:participant\n\
                       server.3=c:1:2:participant;c:2181\nserver.4=d:1:2:observer\n";
        for (lines, is_majority) in [
            ("", true),
            ("group.1=1:2:3\nweight.1=1\nweight.2=1\nweight.3=1\n", true),
            ("group.1=1:2:3\nweight.1=2\nweight.2=2\nweight.3=2\nweight.4=0\n", true),
            ("group.1=1:2:3\n", true),
            ("group.1=1:2:3:4\nweight.4=0\n", true),
            ("group.1=1:2:3:4\nweight.4=1\n", false),
            ("group.1=1:2:3:9\nweight.9=1\n", false),
            ("group.1=1:2:3\nweight.1=3\nweight.2=1\nweight.3=1\n", false),
            ("group.1=1:2:3\nweight.3=0\n", false),
            ("group.1=1:2:3\nweight.1=0\nweight.2=0\nweight.3=0\n", false),
            ("group.1=1:2\n", false),
            ("group.1=1\ngroup.2=2\ngroup.3=3\n", false),
        ] {
            let text = format!("{servers}{lines}version=0");
            assert_eq!(told(&text), Ok(Some(is_majority)), "{lines}");
        }
        let text = format!("{servers}group.1=1:2:3\nweight.1=x\nversion=0");
        assert_eq!(told(&text), Err(ParseError::value("weight.1", "x")));
        assert_eq!(told(servers), Err(ParseError::Missing("version of its membership")));
        assert_eq!(told(""), Ok(None), "alone, or 3.4");
        let mut sample = Sample::default();
        let refused = "conf is not executed because it is not in the whitelist.\n";
        assert_eq!(conf(&mut sample, refused), Err(ParseError::Refused));
        assert_eq!(conf(&mut sample, "<html>"), Err(ParseError::Missing("clientPort")));
    }
}
