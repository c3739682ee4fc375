//! A whole list of arguments or results, as the engine's typed functions want it.
//!
//! The engine asks a type for its number of flat values at compile time; ours is known when a contract is looked at. So there is one type
//! for each number, and what it is made of is read from the contract's type at run time.

use super::{lift, lower};
use std::mem::MaybeUninit;
use umbel_wit::Value;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw, bail, format_err};

/// Flat values that arguments can have before they go through memory; results of an `async func` likewise.
pub(crate) const FLAT_MAX: usize = 16;

/// Values of a parameter or result list with `N` flat values. A list with more lies in memory, and the one flat value points at it.
pub(crate) struct Values<const N: usize>(pub Vec<Value>);

// SAFETY: `Lower` is an array of `ValRaw`. There is nothing to check against a Rust type: every value is read and written as the type
// that the engine hands in says.
#[expect(unsafe_code, reason = "the engine's traits for values are unsafe to implement")]
unsafe impl<const N: usize> ComponentType for Values<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, _: &InstanceType<'_>) -> Result<()> {
        match ty {
            InterfaceType::Tuple(_) => Ok(()),
            _ => bail!("it is not a list of parameters or results"),
        }
    }
}

// SAFETY: nothing but the above.
#[expect(unsafe_code, reason = "the engine's traits for values are unsafe to implement")]
unsafe impl<const N: usize> ComponentNamedList for Values<N> {}

// SAFETY: reads flat values within the array, and memory within its bounds.
#[expect(unsafe_code, reason = "the engine's traits for values are unsafe to implement")]
unsafe impl<const N: usize> Lift for Values<N> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[ValRaw; N]) -> Result<Self> {
        let InterfaceType::Tuple(i) = ty else { return unlisted() };
        let types = cx.types;
        if types[i].abi.flat_count(N).is_some() {
            let mut src = src.iter();
            let values = types[i].types.iter().map(|ty| lift::flat(cx, *ty, &mut src));
            return Ok(Values(values.collect::<Result<_>>()?));
        }
        let pointer = src.first().ok_or_else(|| format_err!("the pointer to a list is missing"))?;
        from_memory(cx, ty, pointer.get_u32() as usize).map(Values)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        // The slice is of the size that `ABI` says, which is none; where it begins is what matters. The engine has checked it.
        let at = (bytes.as_ptr() as usize).checked_sub(cx.memory().as_ptr() as usize);
        from_memory(cx, ty, at.ok_or_else(|| format_err!("a list is not in memory"))?).map(Values)
    }
}

fn from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, at: usize) -> Result<Vec<Value>> {
    let InterfaceType::Tuple(i) = ty else { return unlisted() };
    if !at.is_multiple_of(cx.types[i].abi.align32 as usize) {
        bail!("a list is not aligned");
    }
    let types = cx.types;
    lift::fields(cx, types[i].types.iter().copied(), at)
}

// SAFETY: initialises the whole array, and writes memory only within what the guest's own `realloc` gave.
#[expect(unsafe_code, reason = "the engine's traits for values are unsafe to implement")]
unsafe impl<const N: usize> Lower for Values<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<[ValRaw; N]>,
    ) -> Result<()> {
        let InterfaceType::Tuple(i) = ty else { return unlisted() };
        dst.write([ValRaw::u64(0); N]);
        // SAFETY: the array was just initialised, and `MaybeUninit` has the layout of what it holds.
        let dst: &mut [MaybeUninit<ValRaw>] =
            unsafe { std::slice::from_raw_parts_mut(dst.as_mut_ptr().cast(), N) };
        let all = cx.types;
        let (types, abi) = (&all[i].types, &all[i].abi);
        if types.len() != self.0.len() {
            bail!("{} values where {} belong", self.0.len(), types.len());
        }
        let mut dst = dst.iter_mut();
        if abi.flat_count(N).is_some() {
            let mut pairs = types.iter().zip(&self.0);
            return pairs.try_for_each(|(ty, value)| lower::flat(cx, *ty, value, &mut dst));
        }
        let at = cx.realloc(0, 0, abi.align32, abi.size32 as usize)?;
        self.linear_lower_to_memory(cx, ty, at)?;
        let pointer = dst.next().ok_or_else(|| format_err!("there is no place for a pointer"))?;
        pointer.write(ValRaw::i64(i64::try_from(at)?));
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        at: usize,
    ) -> Result<()> {
        let InterfaceType::Tuple(i) = ty else { return unlisted() };
        let types = cx.types[i].types.iter().copied();
        lower::fields(cx, types, &self.0, at)
    }
}

fn unlisted<T>() -> Result<T> {
    bail!("it is not a list of parameters or results")
}

/// Calls a function that is generic over the number of flat values with the number at hand.
macro_rules! with_count {
    ($count:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $count {
            0 => $function::<0>($($argument),*),
            1 => $function::<1>($($argument),*),
            2 => $function::<2>($($argument),*),
            3 => $function::<3>($($argument),*),
            4 => $function::<4>($($argument),*),
            5 => $function::<5>($($argument),*),
            6 => $function::<6>($($argument),*),
            7 => $function::<7>($($argument),*),
            8 => $function::<8>($($argument),*),
            9 => $function::<9>($($argument),*),
            10 => $function::<10>($($argument),*),
            11 => $function::<11>($($argument),*),
            12 => $function::<12>($($argument),*),
            13 => $function::<13>($($argument),*),
            14 => $function::<14>($($argument),*),
            15 => $function::<15>($($argument),*),
            _ => $function::<16>($($argument),*),
        }
    };
}
pub(crate) use with_count;
