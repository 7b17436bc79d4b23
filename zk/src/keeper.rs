//! What ClickHouse Keeper tells of itself (`KeeperFeatureFlags`).

/// The znode whose data are the feature flags. Old members have none, and tell a level of their interface (0 to 3) in
/// [`API_VERSION_PATH`].
pub const FEATURE_FLAGS_PATH: &str = "/keeper/feature_flags";

/// The znode with the level of the interface of an old member.
pub const API_VERSION_PATH: &str = "/keeper/api_version";

/// Something that a member may be able to do: the number of a bit in the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Feature {
    /// List children by kind.
    FilteredList = 0,
    /// multiRead.
    MultiRead = 1,
    /// checkNotExists in a multi.
    CheckNotExists = 2,
    /// createIfNotExists.
    CreateIfNotExists = 3,
    /// removeRecursive.
    RemoveRecursive = 4,
    /// `MULTI_WATCHES`.
    MultiWatches = 5,
    /// checkStat in a multi.
    CheckStat = 6,
    /// addWatch.
    PersistentWatches = 7,
    /// create2.
    CreateWithStats = 8,
    /// tryRemove.
    TryRemove = 9,
    /// filteredListWithStatsAndData.
    ListWithStatAndData = 10,
}

/// Whether a member with these flags has a feature: bit n is in byte n / 8, the highest bit of a byte first. Flags that
/// end before it do not have it.
pub fn has_feature(flags: &[u8], feature: Feature) -> bool {
    let bit = feature as u8;
    flags.get(usize::from(bit / 8)).is_some_and(|byte| byte >> (7 - bit % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bit_of_a_byte_comes_first() {
        let flags = [0b1100_0001, 0b0010_0000];
        for (feature, expected) in [
            (Feature::FilteredList, true),
            (Feature::MultiRead, true),
            (Feature::CheckNotExists, false),
            (Feature::PersistentWatches, true),
            (Feature::CreateWithStats, false),
            (Feature::ListWithStatAndData, true),
        ] {
            assert_eq!(has_feature(&flags, feature), expected, "{feature:?}");
        }
        assert!(!has_feature(&flags[..1], Feature::ListWithStatAndData));
        assert!(!has_feature(&[], Feature::FilteredList));
    }
}
