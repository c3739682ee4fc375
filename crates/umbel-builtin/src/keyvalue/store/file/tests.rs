use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::Write;

#[derive(Debug, Clone)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

const FILE_BYTES: usize = 20_000;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40_000_u64, 1..9_000_usize, any::<u8>())
            .prop_map(|(offset, length, byte)| Step::Write(offset, vec![byte; length])),
        (0..40_000_u64).prop_map(Step::SetLen),
    ]
}

proptest! {
    #[test]
    fn a_rehearsal_is_as_the_file_would_be_and_the_file_is_not_changed(steps in vec(step(), 1..20)) {
        let mut model: Vec<u8> = (0..FILE_BYTES).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&model).unwrap();
        let original = model.clone();
        let file = Arc::new(file);
        let rehearsal = Rehearsal::new(file.clone(), FILE_BYTES as u64);
        for step in steps {
            match step {
                Step::Write(offset, bytes) => {
                    let range = usize::try_from(offset).unwrap()..usize::try_from(offset).unwrap() + bytes.len();
                    let written = rehearsal.write(offset, &bytes);
                    prop_assert_eq!(written.is_ok(), range.end <= model.len());
                    if written.is_ok() {
                        model[range].copy_from_slice(&bytes);
                    }
                }
                Step::SetLen(length) => {
                    rehearsal.set_len(length).unwrap();
                    model.resize(usize::try_from(length).unwrap(), 0);
                }
            }
            let mut all = vec![1; model.len()];
            rehearsal.read(0, &mut all).unwrap();
            prop_assert!(all == model);
            prop_assert_eq!(rehearsal.len().unwrap(), model.len() as u64);
        }
        prop_assert!(rehearsal.read(model.len() as u64, &mut [0]).is_err());
        let mut now = vec![0; FILE_BYTES];
        file.read_exact_at(&mut now, 0).unwrap();
        prop_assert!(now == original, "the file was changed");
    }
}

#[test]
fn a_rehearsal_has_limits() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let rehearsal = Rehearsal::new(file, 0);
    assert!(rehearsal.set_len(u64::MAX).is_err());
    assert!(rehearsal.write(u64::MAX, &[0]).is_err());
    assert!(rehearsal.read(u64::MAX, &mut [0]).is_err());
}
