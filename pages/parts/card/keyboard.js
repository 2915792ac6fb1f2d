// Which keys are the page's own, and which belong to a field or to a part of Streamlit's.

function takesText(target) {
  if (!(target instanceof Element)) return false;
  if (target.isContentEditable || target.matches("textarea, select")) return true;
  return target.matches("input:not([type=checkbox], [type=radio], [type=button], [type=range], [type=submit])");
}

/** Whether an element outside the deck needs this key itself. */
function isBusyElsewhere(target, isArrow) {
  if (!(target instanceof Element) || target === document.body) return false;
  if (target.closest("[role=dialog], [role=listbox], [role=menu], [role=combobox], [role=grid]")) return true;
  return isArrow && target.matches("input, [role=slider], [role=tab], [role=radio], [role=option], .js-plotly-plot *");
}
